package fsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/prototext"
)

// TestScripts plays testdata/*.txt. Commands:
//
//	apply              entries, one InternalRaftRequest a line, handed over together;
//	                   "empty" is an empty entry, "conf ..." a raftpb.ConfChange
//	crash              loses what is not flushed
//	reopen             closes and opens again
//	replay [from=N]    hands over the log again, from entry N on
//	flush
//	state              leases, alarms, members and positions
//
// Each prints what the state machine has told the world. -rewrite writes the files
// anew.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		r := newRig(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			r.said = nil
			switch d.Cmd {
			case "apply":
				first := len(r.log)
				for _, line := range strings.Split(d.Input, "\n") {
					r.proposeLine(d, line)
				}
				r.must(r.fsm.Apply(r.log[first:], r))
			case "crash":
				r.crash()
			case "reopen":
				r.close()
				r.open()
			case "replay":
				from := 1
				d.MaybeScanArgs(t, "from", &from)
				r.must(r.fsm.Apply(r.log[from-1:], r))
			case "flush":
				r.must(r.engine.Flush())
			case "state":
				r.sayState()
			default:
				d.Fatalf(t, "unknown command")
			}
			if len(r.said) == 0 {
				return "(nothing)\n"
			}
			return strings.Join(r.said, "\n") + "\n"
		})
	})
}

func (r *rig) proposeLine(d *datadriven.TestData, line string) {
	if line == "empty" {
		r.propose(nil)
		return
	}
	if text, ok := strings.CutPrefix(line, "conf "); ok {
		cc := new(raftpb.ConfChange)
		if err := prototext.Unmarshal([]byte(text), cc); err != nil {
			d.Fatalf(r.t.(*testing.T), "%q: %v", line, err)
		}
		r.proposeConfChange(cc)
		return
	}
	req := new(pb.InternalRaftRequest)
	if err := prototext.Unmarshal([]byte(line), req); err != nil {
		d.Fatalf(r.t.(*testing.T), "%q: %v", line, err)
	}
	r.propose(req)
}

func (r *rig) sayState() {
	f := r.fsm
	current, compacted := f.Store().Revisions()
	r.say("applied %d, revision %d, compacted %d, %d keys, version %q, auth revision %d",
		f.Applied(), current, compacted, f.Store().Keys(), f.ClusterVersion(), f.AuthRevision())
	for _, id := range f.Leases().IDs() {
		l, _ := f.Leases().Get(id)
		var keys []string
		r.must(f.Store().AttachedKeys(id, func(key []byte) error {
			keys = append(keys, string(key))
			return nil
		}))
		r.say("lease %d ttl %d remaining %d keys %q", l.ID, l.TTL, l.Remaining, keys)
	}
	for _, a := range f.Alarms() {
		r.say("alarm %v of %x", a.Alarm, a.MemberID)
	}
	for _, m := range f.Members().Members() {
		r.say("member %x %q %v %v learner=%v", m.ID, m.Name, m.PeerURLs, m.ClientURLs, m.IsLearner)
	}
	durable, err := ReadApplied(r.engine, true)
	r.must(err)
	r.say("durable %s", fmt.Sprint(durable.Index))
}
