package conformance

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// The judges turn the messages of a stream, which a server may cut as it likes,
// into what they add up to, and list the rules that were broken on the way.

// result adds what a judge found to a step's result.
func (v verdict) result(out object) {
	out[v.name] = v.value
	if len(v.broken) > 0 {
		out["bad"] = v.broken
	}
}

type verdict struct {
	name   string
	value  any
	broken []any
}

func (v *verdict) breaks(format string, args ...any) {
	v.broken = append(v.broken, fmt.Sprintf(format, args...))
}

// judgeRange joins the chunks of a RangeStream into one answer.
func (n *names) judgeRange(chunks []proto.Message) verdict {
	v := verdict{name: "merged"}
	whole := &etcdserverpb.RangeResponse{}
	for i, chunk := range chunks {
		part := chunk.(*etcdserverpb.RangeStreamResponse).GetRangeResponse()
		last := i == len(chunks)-1
		if !last && (part.GetHeader() != nil || part.GetMore() || part.GetCount() != 0) {
			v.breaks("header, more or count before the last chunk")
		}
		if !last && len(part.GetKvs()) == 0 {
			v.breaks("an empty chunk before the last one")
		}
		proto.Merge(whole, part)
	}
	v.value = n.render(whole.ProtoReflect())
	return v
}

// judgeSnapshot follows the byte counts of a snapshot and checks the digest that
// closes it.
func judgeSnapshot(chunks []proto.Message) verdict {
	last := chunks[len(chunks)-1].(*etcdserverpb.SnapshotResponse)
	v := verdict{name: "snapshot", value: object{"version": last.Version}}
	digest := sha256.New()
	var announced uint64
	sent := uint64(0)
	for i, chunk := range chunks[:len(chunks)-1] {
		c := chunk.(*etcdserverpb.SnapshotResponse)
		digest.Write(c.Blob)
		sent += uint64(len(c.Blob))
		if i == 0 {
			announced = c.RemainingBytes + sent
		}
		if sent+c.RemainingBytes != announced {
			v.breaks("after %d bytes of %d, %d remain", sent, announced, c.RemainingBytes)
		}
		if c.Version != last.Version {
			v.breaks("the version changes from %q to %q", c.Version, last.Version)
		}
	}
	if sent == 0 {
		v.breaks("no data")
	}
	if last.RemainingBytes != 0 {
		v.breaks("%d bytes remain at the end", last.RemainingBytes)
	}
	if !bytes.Equal(last.Blob, digest.Sum(nil)) {
		v.breaks("the last blob is not the SHA-256 of the others")
	}
	return v
}

// judgeWatch lists the events of each watch in order, whatever responses they
// came in, and apart from them the responses without events.
func (n *names) judgeWatch(responses []proto.Message, out object) {
	v := verdict{name: "events"}
	events := object{}
	previous := map[int64]*etcdserverpb.WatchResponse{} // the last one of each watch
	var control []any
	for _, message := range responses {
		r := message.(*etcdserverpb.WatchResponse)
		if len(r.Events) == 0 {
			control = append(control, n.render(r.ProtoReflect()))
			continue
		}
		v.checkWatchResponse(r, previous[r.WatchId])
		id := fmt.Sprint(r.WatchId)
		list, _ := events[id].([]any)
		for _, event := range r.Events {
			list = append(list, n.render(event.ProtoReflect()))
		}
		events[id] = list
		previous[r.WatchId] = r
	}
	for id, r := range previous {
		if r.Fragment {
			v.breaks("watch %d ends with a fragment", id)
		}
	}
	v.value = events
	v.result(out)
	if control != nil {
		out["control"] = control
	}
}

// checkWatchResponse holds one response with events, and the one before it on
// the same watch, to what every watcher may rely on.
func (v *verdict) checkWatchResponse(r, before *etcdserverpb.WatchResponse) {
	if r.Created || r.Canceled || r.CompactRevision != 0 || r.CancelReason != "" {
		v.breaks("watch %d: a control response with events", r.WatchId)
	}
	if before != nil && !before.Fragment && lastOf(before).Kv.ModRevision == r.Events[0].Kv.ModRevision {
		v.breaks("watch %d: revision %d is split without fragment", r.WatchId, r.Events[0].Kv.ModRevision)
	}
	revision := int64(0)
	if before != nil {
		revision = lastOf(before).Kv.ModRevision
	}
	for _, event := range r.Events {
		if event.Kv.ModRevision < revision {
			v.breaks("watch %d: revision %d after %d", r.WatchId, event.Kv.ModRevision, revision)
		}
		revision = event.Kv.ModRevision
		if revision > r.GetHeader().GetRevision() {
			v.breaks("watch %d: an event of revision %d under a header of %d", r.WatchId, revision, r.GetHeader().GetRevision())
		}
	}
}

func lastOf(r *etcdserverpb.WatchResponse) *mvccpb.Event { return r.Events[len(r.Events)-1] }

func countEvents(responses []proto.Message) (n int) {
	for _, message := range responses {
		if r, ok := message.(*etcdserverpb.WatchResponse); ok {
			n += len(r.Events)
		}
	}
	return n
}
