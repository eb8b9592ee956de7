package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"bowline/internal/wire"

	"github.com/anishathalye/porcupine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

func valueOf(encoded []byte) (string, error) {
	var kv mvccpb.KeyValue
	err := proto.Unmarshal(encoded, &kv)
	return string(kv.GetValue()), err
}

// op is what a client asks of one key; outcome is what it was told.
type (
	op struct {
		kind     string // get, put, delete, cas
		key      string
		old, new string // cas: "" is "not there"
	}
	outcome struct {
		known bool
		value string // get, and a cas that failed: "" is "not there"
		done  bool   // delete: something was deleted; cas: it succeeded
	}
)

func (o op) String() string {
	switch o.kind {
	case "get", "delete":
		return fmt.Sprintf("%s %s", o.kind, o.key)
	case "put":
		return fmt.Sprintf("put %s %.9q", o.key, o.new)
	}
	return fmt.Sprintf("cas %s from %.9q to %.9q", o.key, o.old, o.new)
}

func (o outcome) String() string {
	if !o.known {
		return "unknown"
	}
	return fmt.Sprintf("%.9q %v", o.value, o.done)
}

// register is the model: the value of one key, "" if there is none.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			var keys []string
			for _, o := range history {
				key := o.Input.(op).key
				if byKey[key] == nil {
					keys = append(keys, key)
				}
				byKey[key] = append(byKey[key], o)
			}
			var out [][]porcupine.Operation
			for _, key := range keys {
				out = append(out, byKey[key])
			}
			return out
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			s, in, out := state.(string), input.(op), output.(outcome)
			switch in.kind {
			case "get":
				return out.value == s, s
			case "put":
				return true, in.new
			case "delete":
				return !out.known || out.done == (s != ""), ""
			default:
				if s != in.old {
					return !out.known || !out.done && out.value == s, s
				}
				return !out.known || out.done, in.new
			}
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
	}
}

// record is the history of all clients.
type record struct {
	mu      sync.Mutex
	history []porcupine.Operation
	told    int // answers
}

func (r *record) add(o porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, o)
	if o.Return != math.MaxInt64 {
		r.told++
	}
}

// settled is the history for the checker. A write that has no answer and whose value was never seen by any member did
// not happen, and cannot any more.
func (r *record) settled(wrote map[string]bool) []porcupine.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []porcupine.Operation
	for _, o := range r.history {
		in, result := o.Input.(op), o.Output.(outcome)
		if !result.known && (in.kind == "get" || in.new != "" && !wrote[in.new]) {
			continue
		}
		out = append(out, o)
	}
	return out
}

// client does one thing after the other.
type client struct {
	w     *world
	n     int
	rng   *rand.Rand
	wrote int
	last  map[string]string // what it last saw of each key
	where *member
}

func (w *world) newClient(n int) *client {
	return &client{w: w, n: n, rng: w.stream("client", n), last: map[string]string{}}
}

func (c *client) run(ctx context.Context, r *record) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(c.rng.Int64N(int64(c.w.plan.think))))
		l := c.choose()
		if l == nil {
			continue
		}
		if c.rng.IntN(12) == 0 {
			c.glance(ctx, l)
			continue
		}
		r.add(c.do(ctx, l, c.draw()))
	}
}

// choose stays with a member most of the time.
func (c *client) choose() *life {
	if c.where == nil || c.where.life.Load() == nil || c.rng.IntN(8) == 0 {
		all := c.w.all()
		c.where = all[c.rng.IntN(len(all))]
	}
	return c.where.life.Load()
}

func (c *client) draw() op {
	o := op{key: fmt.Sprintf("k%d", c.rng.IntN(c.w.plan.keys))}
	switch n := c.rng.IntN(10); {
	case n < 4:
		o.kind = "get"
	case n < 7:
		o.kind, o.new = "put", c.value()
	case n < 8:
		o.kind = "delete"
	default:
		o.kind, o.old, o.new = "cas", c.last[o.key], c.value()
	}
	return o
}

// value is one that nobody else writes.
func (c *client) value() string {
	c.wrote++
	v := fmt.Sprintf("c%d-%d", c.n, c.wrote)
	if c.rng.IntN(6) == 0 {
		v += strings.Repeat(".", c.rng.IntN(c.w.plan.valueBytes))
	}
	return v
}

// do carries out an operation on a member.
func (c *client) do(ctx context.Context, l *life, o op) porcupine.Operation {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond+time.Duration(c.rng.Int64N(int64(3*time.Second))))
	defer cancel()
	witness := c.w.witness
	before := witness.acknowledged.Load()
	call := witness.moments.Add(1)
	var result outcome
	var revision int64
	err := errUnreachable
	l.use(ctx, func(ctx context.Context) { result, revision, err = ask(ctx, l, o) })
	// What comes from a member after its crash has not come.
	if err != nil || !l.isAlive() {
		return porcupine.Operation{ClientId: c.n, Input: o, Call: call, Output: outcome{}, Return: math.MaxInt64}
	}
	result.known = true
	returned := witness.moments.Add(1)
	witness.answered(fmt.Sprintf("%s of %q by member %s", o.kind, o.key, l.member.name), revision, before)
	switch {
	case o.kind == "get", o.kind == "cas" && !result.done:
		c.last[o.key] = result.value
	default:
		c.last[o.key] = o.new
	}
	return porcupine.Operation{ClientId: c.n, Input: o, Call: call, Output: result, Return: returned}
}

// ask translates an operation into requests.
func ask(ctx context.Context, l *life, o op) (result outcome, revision int64, err error) {
	key := []byte(o.key)
	switch o.kind {
	case "get":
		var resp pb.RangeResponse
		err = decode(&resp)(l.server.Range(ctx, &pb.RangeRequest{Key: key}))
		return outcome{value: only(resp.GetKvs())}, resp.GetHeader().GetRevision(), err
	case "put":
		req := &pb.PutRequest{Key: key, Value: []byte(o.new)}
		var resp pb.PutResponse
		err = encode(req, func(raw []byte) error { return decode(&resp)(l.server.Put(ctx, req, raw)) })
		return outcome{}, resp.GetHeader().GetRevision(), err
	case "delete":
		req := &pb.DeleteRangeRequest{Key: key}
		var resp pb.DeleteRangeResponse
		err = encode(req, func(raw []byte) error { return decode(&resp)(l.server.DeleteRange(ctx, req, raw)) })
		return outcome{done: resp.GetDeleted() > 0}, resp.GetHeader().GetRevision(), err
	}
	same := &pb.Compare{Key: key, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(o.old)}}
	if o.old == "" {
		same = &pb.Compare{Key: key, Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{}}
	}
	req := &pb.TxnRequest{
		Compare: []*pb.Compare{same},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: []byte(o.new)}}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}},
	}
	var resp pb.TxnResponse
	err = encode(req, func(raw []byte) error { return decode(&resp)(l.server.Txn(ctx, req, raw)) })
	result.done = resp.GetSucceeded()
	if !result.done && len(resp.GetResponses()) > 0 {
		result.value = only(resp.GetResponses()[0].GetResponseRange().GetKvs())
	}
	return result, resp.GetHeader().GetRevision(), err
}

func only(kvs []*mvccpb.KeyValue) string {
	if len(kvs) == 0 {
		return ""
	}
	return string(kvs[0].GetValue())
}

func encode(m proto.Message, f func(raw []byte) error) error {
	raw, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return f(raw)
}

func decode(into proto.Message) func(*wire.Answer, error) error {
	return func(a *wire.Answer, err error) error {
		if err != nil {
			return err
		}
		defer a.Release()
		return proto.Unmarshal(a.Bytes(), into)
	}
}

// glance is a serializable read: old news, but never older than what this life of the member has shown before.
func (c *client) glance(ctx context.Context, l *life) {
	before := l.serial.Load()
	var resp pb.RangeResponse
	err := errUnreachable
	l.use(ctx, func(ctx context.Context) {
		err = decode(&resp)(l.server.Range(ctx, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Serializable: true}))
	})
	if err != nil || !l.isAlive() {
		return
	}
	rev := resp.GetHeader().GetRevision()
	if rev < before {
		c.w.witness.violation("member %s showed revision %d, and %d before", l.member.name, rev, before)
	}
	for _, kv := range resp.GetKvs() {
		if kv.GetModRevision() > rev {
			c.w.witness.violation("member %s showed revision %d of %q at revision %d", l.member.name, kv.GetModRevision(), kv.GetKey(), rev)
		}
	}
	for now := l.serial.Load(); now < rev && !l.serial.CompareAndSwap(now, rev); now = l.serial.Load() {
		continue
	}
}
