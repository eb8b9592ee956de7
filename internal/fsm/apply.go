package fsm

import (
	"fmt"
	"strings"
	"time"

	"bowline/internal/auth"
	"bowline/internal/engine"
	"bowline/internal/mvcc"
	"bowline/internal/v2"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	// groupEntries and groupBytes bound a group, so that nobody waits long for
	// the first result in it.
	groupEntries = 512
	groupBytes   = 2 << 20
)

// group is the entries that one engine batch holds, before it is committed.
type group struct {
	kv      *mvcc.Group
	conf    ConfChanger
	last    Position
	entries int
	bytes   int64
	results []delivery
	// began is when the group was handed over, since when the last request of the group was done, for measuring.
	began, since time.Duration
	// access, if not nil, puts changed rules into force. It runs before the applied index
	// is published: whoever has waited for an index must find the rules of then.
	access func()
	// tree tells that the group has to do with the tree of API v2, and treeEvents what has
	// changed there.
	tree       bool
	treeEvents []*v2.Event
	// after runs once the batch is committed and the revision published.
	after []func()
}

type delivery struct {
	id     uint64
	result Result
}

// ConfChanger tells raft what became of a conf change, as package node wants it.
type ConfChanger interface {
	// ApplyConfChange puts an accepted change into force.
	ApplyConfChange(index uint64, cc raftpb.ConfChangeI) *raftpb.ConfState
	// RefuseConfChange lets the entry pass without effect.
	RefuseConfChange(index uint64) *raftpb.ConfState
}

// Apply applies committed entries, in order. An error means that this member
// cannot go on; what was committed before it stands.
func (f *FSM) Apply(entries []*raftpb.Entry, conf ConfChanger) error {
	for len(entries) > 0 {
		n, err := f.applyGroup(entries, conf)
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// applyGroup applies a first part of entries as one batch and reports how many
// they were.
func (f *FSM) applyGroup(entries []*raftpb.Entry, conf ConfChanger) (int, error) {
	began := f.elapsed()
	f.waiting.Add(1)
	f.mu.Lock()
	f.waiting.Add(-1)
	defer f.mu.Unlock()
	n := 0
	var g *group
	for _, e := range entries {
		if e.GetIndex() <= f.position.Index {
			n++
			continue // the engine holds it already
		}
		if want := f.position.Index + 1 + uint64(groupLen(g)); e.GetIndex() != want {
			panic(fmt.Sprintf("fsm: entry %d handed over, want %d", e.GetIndex(), want))
		}
		req, err := f.decode(e)
		if err != nil {
			return n, err
		}
		alone, own := f.needsOwnGroup(e, req)
		if alone && g != nil {
			break
		}
		if g == nil {
			// gofail: var beforeStartDBTxn struct{}
			g = &group{kv: f.store.Begin(leaseTable{f.leases}, own), conf: conf, began: began, since: f.elapsed()}
			// gofail: var afterStartDBTxn struct{}
		}
		if err := f.applyEntry(g, e, req); err != nil {
			return n, err
		}
		n++
		g.entries++
		g.bytes += int64(len(e.GetData()))
		g.last = Position{Index: e.GetIndex(), Term: e.GetTerm()}
		if alone || g.entries >= groupEntries || g.bytes >= groupBytes {
			break
		}
	}
	if g == nil {
		return n, nil
	}
	return n, f.commit(g)
}

func groupLen(g *group) int {
	if g == nil {
		return 0
	}
	return g.entries
}

// needsOwnGroup tells whether an entry must be the only one of its group,
// because it reads ranges or published state, and whether its reads must see its
// own writes. The rules of access only change in such a group.
func (f *FSM) needsOwnGroup(e *raftpb.Entry, req *pb.InternalRaftRequest) (alone, own bool) {
	switch {
	case e.GetType() != raftpb.EntryType_EntryNormal:
		return true, false
	case req == nil:
		return false, false
	case auth.Applies(req):
		return true, false
	case f.old != nil:
		return v2.Alone(f.old), false
	case f.asksForLease(req):
		if req.Txn != nil {
			_, own = mvcc.TxnReads(req.Txn)
		}
		return true, own
	case req.DeleteRange != nil:
		return len(req.DeleteRange.RangeEnd) > 0, false
	case req.Txn != nil:
		return mvcc.TxnReads(req.Txn)
	case req.LeaseRevoke != nil, req.Compaction != nil:
		return true, false
	}
	return false, false
}

// fieldPut is the number of a put's field in an InternalRaftRequest.
const fieldPut = 4

// decode reads a normal entry's request; nil for an empty entry or a conf change.
// It is valid until the next call and shares the entry's bytes.
func (f *FSM) decode(e *raftpb.Entry) (*pb.InternalRaftRequest, error) {
	f.old = nil
	if e.GetType() != raftpb.EntryType_EntryNormal || len(e.GetData()) == 0 {
		return nil, nil
	}
	if p, ok := wire.SplitRequest(e.GetData()); ok && p.Field == fieldPut && wire.DecodePut(p.Request, &f.put) == nil {
		f.header.ID, f.header.AuthRevision = p.ID, p.AuthRevision
		if f.header.Username != string(p.User) {
			f.header.Username = string(p.User)
		}
		f.request.Put, f.request.Header = &f.put, &f.header
		return &f.request, nil
	}
	if old, ok := wire.ParseV2(e.GetData()); ok && !strings.HasPrefix(old.Path, wire.V2Members) {
		f.old = old
		f.header.ID, f.header.AuthRevision, f.header.Username = old.ID, 0, ""
		f.bare.Header = &f.header
		return &f.bare, nil
	}
	if req, ok := wire.DecodeV2(e.GetData()); ok {
		if req.ClusterVersionSet == nil && req.ClusterMemberAttrSet == nil {
			f.old, _ = wire.ParseV2(e.GetData())
		}
		return req, nil
	}
	req := new(pb.InternalRaftRequest)
	if err := proto.Unmarshal(e.GetData(), req); err != nil {
		return nil, fmt.Errorf("fsm: entry %d is not a request that this version knows: %w", e.GetIndex(), err)
	}
	return req, nil
}

func (f *FSM) applyEntry(g *group, e *raftpb.Entry, req *pb.InternalRaftRequest) error {
	if e.GetType() != raftpb.EntryType_EntryNormal {
		// gofail: var beforeApplyOneConfChange struct{}
		return f.applyConfChange(g, e)
	}
	if req == nil {
		term := e.GetTerm()
		g.after = append(g.after, func() { f.cfg.EmptyEntry(term) })
		return nil
	}
	id := req.ID
	if id == 0 {
		id = req.GetHeader().GetID()
	}
	// gofail: var beforeApplyOneEntryNormal struct{}
	r, err := f.applyRequest(g, req, e.GetIndex())
	if err != nil {
		return err
	}
	r.Revision = g.kv.Revision()
	f.measure(g, req, &r)
	if id != 0 {
		g.results = append(g.results, delivery{id: id, result: r})
	}
	return nil
}

// commit writes a group's batch and tells the world, in the order that
// docs/ARCHITECTURE.md gives.
func (f *FSM) commit(g *group) error {
	if err := g.kv.Seal(); err != nil {
		return fmt.Errorf("fsm: build a batch: %w", err)
	}
	b := g.kv.Batch()
	if g.tree {
		if err := f.v2.Seal(b); err != nil {
			return fmt.Errorf("fsm: build a batch: %w", err)
		}
	}
	// gofail: var commitBeforePreCommitHook struct{}
	if err := b.Set(metaKey(metaApplied), g.last.encode(), nil); err != nil {
		return fmt.Errorf("fsm: build a batch: %w", err)
	}
	// gofail: var commitAfterPreCommitHook struct{}
	size := b.Len()
	// gofail: var beforeCommit struct{}
	if err := f.engine.Commit(b); err != nil {
		return err
	}
	// gofail: var afterCommit struct{}
	f.measureCommit(g, size)
	// gofail: var beforeWritebackBuf struct{}
	events, complete := g.kv.Publish()
	// gofail: var afterWritebackBuf struct{}
	if g.last.Index <= f.position.Index {
		panic(fmt.Sprintf("fsm: applied index would go from %d to %d", f.position.Index, g.last.Index))
	}
	f.position = g.last
	if g.access != nil {
		g.access()
	}
	if g.tree {
		f.v2.Publish(g.treeEvents) // as with the rules: before the applied index
	}
	f.applied.Store(g.last.Index)
	if len(events) > 0 || !complete {
		f.cfg.Publish(f.store.Revision(), events, complete)
	}
	for _, do := range g.after {
		do()
	}
	took := f.elapsed() - g.began
	for i := range g.results {
		g.results[i].result.Took = took
		f.cfg.Deliver(g.results[i].id, g.results[i].result)
	}
	if f.unflushed.Add(g.bytes+int64(g.entries)*entryOverhead) >= flushBytes {
		f.unflushed.Store(0)
		if err := f.engine.StartFlush(); err != nil {
			return err
		}
	}
	for more := true; more; {
		var err error
		if more, err = f.store.BalanceLeaves(); err != nil {
			return err
		}
	}
	return nil
}

// entryOverhead is what an entry counts beside its data towards a flush: even an
// empty one takes time to apply again.
const entryOverhead = 64

// set is a helper for records outside the key space.
func set(b *engine.Batch, key, value []byte) error { return b.Set(key, value, nil) }
