package fsm

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/mvcc"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a state machine on a crashable memory disk, with a log before it. Its
// end checks the whole state.
type rig struct {
	t      testing.TB
	fs     *vfs.MemFS
	dir    string
	engine *engine.Engine
	fsm    *FSM
	// log is every entry there is, the first one at index 1.
	log []*raftpb.Entry
	// said collects what the state machine tells the world, in order.
	said []string
	// results are the last result of each request.
	results map[uint64]Result
	// lines are those of the log.
	lines   *observer.ObservedLogs
	fatal   error
	started bool
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, fs: vfs.NewCrashableMem(), dir: "db", results: make(map[uint64]Result)}
	r.open()
	t.Cleanup(func() {
		r.check()
		r.close()
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	core, lines := observer.New(zap.InfoLevel)
	r.lines = lines
	r.engine, err = engine.Open(r.dir, engine.Options{FS: r.fs, CacheBytes: 1 << 20, MemTableBytes: 128 << 10})
	r.must(err)
	r.fsm, err = Open(Config{
		Engine: r.engine, Store: mvcc.Options{CacheBytes: 1 << 14}, MinLeaseTTL: 2,
		Deliver: func(id uint64, res Result) {
			r.results[id] = res
			r.say("%d: %s", id, describeResult(res))
		},
		Publish: func(rev int64, events []mvcc.Event, complete bool) {
			var b strings.Builder
			for _, e := range events {
				fmt.Fprintf(&b, " %s%q@%v", map[mvcc.Kind]string{1: "+", 2: "=", 3: "-"}[e.Kind], e.Key, e.Revision)
				if !e.Prev.IsZero() {
					fmt.Fprintf(&b, "<%v", e.Prev)
				}
			}
			r.say("publish %d complete=%v%s", rev, complete, b.String())
		},
		LeaseGranted: func(id, ttl int64) { r.say("lease %d granted for %d", id, ttl) },
		LeaseRevoked: func(id int64) { r.say("lease %d revoked", id) },
		EmptyEntry:   func(term uint64) { r.say("term %d begins", term) },
		Fatal:        func(err error) { r.fatal = err },
		ClusterID:    0xc, MemberID: 0xa, Logger: zap.New(core),
	})
	r.must(err)
}

func describeResult(res Result) string {
	if res.Err != nil {
		return fmt.Sprintf("refused at %d: %v", res.Revision, res.Err)
	}
	s := fmt.Sprintf("at %d", res.Revision)
	if len(res.Body) > 0 {
		s += fmt.Sprintf(" body %x", res.Body)
	}
	if res.Done != nil {
		s += " and goes on"
	}
	return s
}

func (r *rig) say(format string, args ...any) { r.said = append(r.said, fmt.Sprintf(format, args...)) }

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) check() {
	r.t.Helper()
	if err := r.fsm.Check(context.Background()); err != nil {
		r.t.Errorf("Check: %v", err)
	}
	if r.fatal != nil {
		r.t.Errorf("fatal: %v", r.fatal)
	}
}

func (r *rig) start() {
	r.fsm.Start()
	r.started = true
}

func (r *rig) close() {
	if r.started {
		r.fsm.Stop()
		r.started = false
	}
	r.must(r.engine.Close())
}

// crash loses what is not on the disk and opens the rest.
func (r *rig) crash() {
	r.t.Helper()
	clone := r.fs.CrashClone(vfs.CrashCloneCfg{})
	r.close()
	r.fs = clone
	r.open()
}

// propose appends requests to the log; a nil one is an empty entry.
func (r *rig) propose(reqs ...*pb.InternalRaftRequest) []*raftpb.Entry {
	first := len(r.log)
	for _, req := range reqs {
		e := &raftpb.Entry{Index: proto.Uint64(uint64(len(r.log) + 1)), Term: proto.Uint64(1)}
		if req != nil {
			if req.Header == nil {
				req.Header = &pb.RequestHeader{ID: e.GetIndex()}
			}
			data, err := proto.Marshal(req)
			r.must(err)
			e.Data = data
		}
		r.log = append(r.log, e)
	}
	return r.log[first:]
}

// proposeConfChange appends a conf change to the log.
func (r *rig) proposeConfChange(cc *raftpb.ConfChange) []*raftpb.Entry {
	data, err := proto.Marshal(cc)
	r.must(err)
	r.log = append(r.log, &raftpb.Entry{Index: proto.Uint64(uint64(len(r.log) + 1)), Term: proto.Uint64(1),
		Type: raftpb.EntryType_EntryConfChange.Enum(), Data: data})
	return r.log[len(r.log)-1:]
}

func (r *rig) apply(reqs ...*pb.InternalRaftRequest) {
	r.t.Helper()
	r.must(r.fsm.Apply(r.propose(reqs...), r))
}

// ApplyConfChange implements ConfChanger.
func (r *rig) ApplyConfChange(_ uint64, cc raftpb.ConfChangeI) *raftpb.ConfState {
	one, _ := cc.AsV1()
	r.say("raft: %v %x", one.GetType(), one.GetNodeId())
	return nil
}

// RefuseConfChange implements ConfChanger.
func (r *rig) RefuseConfChange(uint64) *raftpb.ConfState {
	r.say("raft: no change")
	return nil
}

// state is everything that is stored, the applied index left out.
func (r *rig) state() map[string]string {
	r.t.Helper()
	all := make(map[string]string)
	for class := engine.ClassMeta; class <= engine.ClassV2; class++ {
		it, err := r.engine.NewIter(&engine.IterOptions{LowerBound: engine.ClassStart(class), UpperBound: engine.ClassEnd(class)})
		r.must(err)
		for ok := it.First(); ok; ok = it.Next() {
			if !bytes.Equal(it.Key(), metaKey(metaApplied)) {
				all[string(it.Key())] = string(it.Value())
			}
		}
		r.must(it.Close())
	}
	return all
}

func put(key, value string) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}
}

func compact(rev int64, physical bool) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: rev, Physical: physical}}
}

// wireUnmarshal decodes an answer that has no header.
func wireUnmarshal(a interface{ Bytes() []byte }, m proto.Message) error {
	return proto.Unmarshal(a.Bytes(), m)
}
