package mvcc

import (
	"bytes"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// model is the key space as a reader of etcd's documentation would write it: a
// list of every version there ever was, and nothing that helps to find one.
type model struct {
	all       []*modelVersion
	live      map[string]*modelVersion
	current   int64
	compacted int64
	// hashes are the sums that finished compactions have left, newest last.
	hashes []Hash
	leases map[int64]bool
}

// modelVersion is one version of a key; kv is the record that etcd would store.
type modelVersion struct {
	rev     Revision
	key     string
	deleted bool
	kv      *mvccpb.KeyValue
	// kind and prev are what watchers are told at the time of the change.
	kind Kind
	prev Revision
}

func newModel() *model {
	return &model{live: make(map[string]*modelVersion), current: 1, compacted: -1, leases: make(map[int64]bool)}
}

// at is what a reader at rev sees.
func (m *model) at(rev int64) map[string]*modelVersion {
	seen := make(map[string]*modelVersion)
	for _, v := range m.all {
		if v.rev.Main > rev {
			break
		}
		if seen[v.key] = v; v.deleted {
			delete(seen, v.key)
		}
	}
	return seen
}

// modelWrite is one modifying request under way.
type modelWrite struct {
	*model
	main, sub int64
	// before is the state that the request has found.
	before map[string]*modelVersion
}

// apply applies one request and returns the answer, without its header.
func (m *model) apply(req *pb.InternalRaftRequest) (proto.Message, error) {
	w := &modelWrite{model: m, main: m.current + 1, before: maps.Clone(m.live)}
	defer func() {
		if w.sub > 0 {
			m.current = w.main
		}
	}()
	switch {
	case req.Put != nil:
		if err := w.checkPut(req.Put, m.live); err != nil {
			return nil, err
		}
		return w.put(req.Put), nil
	case req.DeleteRange != nil:
		return w.deleteRange(req.DeleteRange), nil
	case req.Txn != nil:
		path := w.choose(req.Txn)
		if err := w.check(path); err != nil {
			return nil, err
		}
		return w.run(path), nil
	case req.LeaseGrant != nil:
		m.leases[req.LeaseGrant.ID] = true
	case req.LeaseRevoke != nil:
		for _, key := range m.attached(req.LeaseRevoke.ID) {
			w.remove(key)
		}
		delete(m.leases, req.LeaseRevoke.ID)
	case req.Compaction != nil:
		if rev := req.Compaction.Revision; rev <= m.compacted {
			return nil, ErrCompacted
		} else if rev > m.current {
			return nil, ErrFutureRevision
		}
		m.compacted = req.Compaction.Revision
	}
	return nil, nil
}

func (w *modelWrite) checkPut(r *pb.PutRequest, state map[string]*modelVersion) error {
	if r.Lease != 0 && !w.leases[r.Lease] {
		return ErrLeaseNotFound
	}
	if (r.IgnoreValue || r.IgnoreLease) && state[string(r.Key)] == nil {
		return ErrKeyNotFound
	}
	return nil
}

func (w *modelWrite) put(r *pb.PutRequest) *pb.PutResponse {
	kv := &mvccpb.KeyValue{Key: r.Key, Value: r.Value, Lease: r.Lease, CreateRevision: w.main, ModRevision: w.main, Version: 1}
	resp := new(pb.PutResponse)
	kind := KindCreate
	if old := w.live[string(r.Key)]; old != nil {
		kind = KindUpdate
		kv.CreateRevision, kv.Version = old.kv.CreateRevision, old.kv.Version+1
		if r.IgnoreValue {
			kv.Value = old.kv.Value
		}
		if r.IgnoreLease {
			kv.Lease = old.kv.Lease
		}
		if r.PrevKv {
			resp.PrevKv = old.kv
		}
	}
	v := &modelVersion{key: string(r.Key), kv: kv, kind: kind}
	w.add(v)
	w.live[v.key] = v
	return resp
}

func (w *modelWrite) remove(key string) {
	w.add(&modelVersion{key: key, kv: &mvccpb.KeyValue{Key: []byte(key)}, kind: KindDelete, deleted: true})
	delete(w.live, key)
}

func (w *modelWrite) add(v *modelVersion) {
	v.rev = Revision{Main: w.main, Sub: w.sub}
	w.sub++
	// Watchers are told the version before the request, unless the key was
	// created in it.
	if old := w.before[v.key]; old != nil && v.kind != KindCreate && (v.deleted || v.kv.CreateRevision != w.main) {
		v.prev = old.rev
	}
	w.all = append(w.all, v)
}

func (w *modelWrite) deleteRange(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	resp := new(pb.DeleteRangeResponse)
	for _, v := range inRange(w.live, r.Key, r.RangeEnd) {
		resp.Deleted++
		if r.PrevKv {
			resp.PrevKvs = append(resp.PrevKvs, v.kv)
		}
		w.remove(v.key)
	}
	return resp
}

// inRange are the versions in state whose key a request means, by key.
func inRange(state map[string]*modelVersion, key, end []byte) []*modelVersion {
	var found []*modelVersion
	for _, k := range slices.Sorted(maps.Keys(state)) {
		if means(k, key, end) {
			found = append(found, state[k])
		}
	}
	return found
}

func means(k string, key, end []byte) bool {
	switch {
	case len(end) == 0:
		return k == string(key)
	case string(end) == "\x00":
		return k >= string(key)
	default:
		return k >= string(key) && k < string(end)
	}
}

// attached are the keys that a lease holds.
func (m *model) attached(id int64) []string {
	var keys []string
	for _, v := range inRange(m.live, []byte{0}, []byte{0}) {
		if v.kv.Lease == id {
			keys = append(keys, v.key)
		}
	}
	return keys
}

// modelPath is the chosen branch of a transaction, nested[i] that of operation i.
type modelPath struct {
	succeeded bool
	ops       []*pb.RequestOp
	nested    map[int]*modelPath
}

func (m *model) choose(txn *pb.TxnRequest) *modelPath {
	p := &modelPath{succeeded: true, ops: txn.Success, nested: make(map[int]*modelPath)}
	for _, c := range txn.Compare {
		p.succeeded = p.succeeded && m.holds(c)
	}
	if !p.succeeded {
		p.ops = txn.Failure
	}
	for i, op := range p.ops {
		if t := op.GetRequestTxn(); t != nil {
			p.nested[i] = m.choose(t)
		}
	}
	return p
}

func (m *model) holds(c *pb.Compare) bool {
	found := inRange(m.live, c.Key, c.RangeEnd)
	if len(found) == 0 {
		return c.Target != pb.Compare_VALUE && operatorHolds(c, 0)
	}
	for _, v := range found {
		order := 0
		switch c.Target {
		case pb.Compare_VALUE:
			order = bytes.Compare(v.kv.Value, c.GetValue())
		default:
			order = compareNumber(c, v.kv)
		}
		if !operatorIs(c.Result, order) {
			return false
		}
	}
	return true
}

func operatorHolds(c *pb.Compare, _ int) bool {
	return operatorIs(c.Result, compareNumber(c, new(mvccpb.KeyValue)))
}

func compareNumber(c *pb.Compare, kv *mvccpb.KeyValue) int {
	var a, b int64
	switch c.Target {
	case pb.Compare_CREATE:
		a, b = kv.CreateRevision, c.GetCreateRevision()
	case pb.Compare_MOD:
		a, b = kv.ModRevision, c.GetModRevision()
	case pb.Compare_VERSION:
		a, b = kv.Version, c.GetVersion()
	case pb.Compare_LEASE:
		a, b = kv.Lease, c.GetLease()
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func operatorIs(r pb.Compare_CompareResult, order int) bool {
	switch r {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	case pb.Compare_LESS:
		return order < 0
	}
	return true
}

// check refuses a path that would fail half-way. What a put needs must be there
// before the transaction, and then not be deleted before its turn comes.
func (w *modelWrite) check(p *modelPath) error {
	if err := w.checkOps(p, maps.Clone(w.live), false); err != nil {
		return err
	}
	return w.checkOps(p, maps.Clone(w.live), true)
}

// checkOps checks with state, from which deletions take if gone is set.
func (w *modelWrite) checkOps(p *modelPath, state map[string]*modelVersion, gone bool) error {
	for i, op := range p.ops {
		if r := op.GetRequestRange(); r != nil && r.Revision != 0 {
			if r.Revision > w.current {
				return ErrFutureRevision
			}
			if r.Revision < w.compacted {
				return ErrCompacted
			}
		}
		if r := op.GetRequestPut(); r != nil {
			if err := w.checkPut(r, state); err != nil {
				return err
			}
		}
		if r := op.GetRequestDeleteRange(); r != nil && gone {
			for k := range state {
				if means(k, r.Key, r.RangeEnd) {
					delete(state, k)
				}
			}
		}
		if op.GetRequestTxn() != nil {
			if err := w.checkOps(p.nested[i], state, gone); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *modelWrite) run(p *modelPath) *pb.TxnResponse {
	resp := &pb.TxnResponse{Succeeded: p.succeeded}
	header := func() *pb.ResponseHeader {
		if w.sub > 0 {
			return &pb.ResponseHeader{Revision: w.main}
		}
		return &pb.ResponseHeader{Revision: w.main - 1}
	}
	for i, op := range p.ops {
		out := new(pb.ResponseOp)
		switch {
		case op.GetRequestRange() != nil:
			r := op.GetRequestRange()
			state := w.live
			if r.Revision > 0 {
				state = w.at(r.Revision)
			}
			answer := rangeOf(state, r)
			answer.Header = header()
			out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: answer}
		case op.GetRequestPut() != nil:
			answer := w.put(op.GetRequestPut())
			answer.Header = header()
			out.Response = &pb.ResponseOp_ResponsePut{ResponsePut: answer}
		case op.GetRequestDeleteRange() != nil:
			answer := w.deleteRange(op.GetRequestDeleteRange())
			answer.Header = header()
			out.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: answer}
		case op.GetRequestTxn() != nil:
			answer := w.run(p.nested[i])
			answer.Header = new(pb.ResponseHeader)
			out.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: answer}
		}
		resp.Responses = append(resp.Responses, out)
	}
	return resp
}

// get answers a range request outside a transaction.
func (m *model) get(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	rev := r.Revision
	switch {
	case rev <= 0:
		rev = m.current
	case rev > m.current:
		return nil, ErrFutureRevision
	case rev < m.compacted:
		return nil, ErrCompacted
	}
	return rangeOf(m.at(rev), r), nil
}

// readTxn answers a transaction that only reads.
func (m *model) readTxn(txn *pb.TxnRequest) (proto.Message, error) {
	w := &modelWrite{model: m, main: m.current + 1}
	path := w.choose(txn)
	if err := w.check(path); err != nil {
		return nil, err
	}
	return w.run(path), nil
}

func rangeOf(state map[string]*modelVersion, r *pb.RangeRequest) *pb.RangeResponse {
	found := inRange(state, r.Key, r.RangeEnd)
	resp := &pb.RangeResponse{Count: int64(len(found))}
	if r.CountOnly {
		return resp
	}
	var kvs []*mvccpb.KeyValue
	for _, v := range found {
		if (r.MinModRevision == 0 || v.kv.ModRevision >= r.MinModRevision) &&
			(r.MaxModRevision == 0 || v.kv.ModRevision <= r.MaxModRevision) &&
			(r.MinCreateRevision == 0 || v.kv.CreateRevision >= r.MinCreateRevision) &&
			(r.MaxCreateRevision == 0 || v.kv.CreateRevision <= r.MaxCreateRevision) {
			kvs = append(kvs, v.kv)
		}
	}
	// Without an order the limit comes first, and one more is sorted; without
	// filters only.
	filtered := r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
	limited := r.Limit > 0 && int64(len(kvs)) > r.Limit
	if r.SortOrder == pb.RangeRequest_NONE && limited && !filtered {
		kvs = kvs[:r.Limit+1]
	}
	slices.SortFunc(kvs, func(a, b *mvccpb.KeyValue) int {
		if r.SortOrder == pb.RangeRequest_DESCEND {
			a, b = b, a
		}
		switch r.SortTarget {
		case pb.RangeRequest_VERSION:
			return int(a.Version - b.Version)
		case pb.RangeRequest_CREATE:
			return int(a.CreateRevision - b.CreateRevision)
		case pb.RangeRequest_MOD:
			return int(a.ModRevision - b.ModRevision)
		case pb.RangeRequest_VALUE:
			return bytes.Compare(a.Value, b.Value)
		}
		return bytes.Compare(a.Key, b.Key)
	})
	if limited {
		kvs, resp.More = kvs[:r.Limit], true
	}
	for _, kv := range kvs {
		if r.KeysOnly {
			kv = proto.Clone(kv).(*mvccpb.KeyValue)
			if kv.Value = nil; r.SortTarget != pb.RangeRequest_VALUE {
				kv.Lease = 0
			}
		}
		resp.Kvs = append(resp.Kvs, kv)
	}
	return resp
}
