package mvcc

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Tags of TxnResponse behind the header, and of ResponseOp.
const (
	tagTxnSucceeded  = 2 << 3
	tagTxnResponse   = 3<<3 | 2
	tagOpRange       = 1<<3 | 2
	tagOpPut         = 2<<3 | 2
	tagOpDeleteRange = 3<<3 | 2
	tagOpTxn         = 4<<3 | 2
)

// ReadOnly tells whether a transaction's two branches contain only ranges, so
// that it need not go through the log. A nested transaction never qualifies.
func ReadOnly(txn *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{txn.Success, txn.Failure} {
		for _, op := range ops {
			if op.GetRequestRange() == nil {
				return false
			}
		}
	}
	return true
}

// opUse is what a transaction touches, over both branches and all levels.
type opUse struct{ ops, writes, ranges int }

func (u *opUse) addTxn(txn *pb.TxnRequest) {
	for _, c := range txn.Compare {
		if len(c.RangeEnd) > 0 {
			u.ranges++
		}
	}
	for _, ops := range [][]*pb.RequestOp{txn.Success, txn.Failure} {
		for _, op := range ops {
			u.ops++
			switch {
			case op.GetRequestRange() != nil:
				// One key at a given revision is read from the engine too.
				if r := op.GetRequestRange(); len(r.RangeEnd) > 0 || r.Revision > 0 {
					u.ranges++
				}
			case op.GetRequestPut() != nil:
				u.writes++
			case op.GetRequestDeleteRange() != nil:
				u.writes++
				if len(op.GetRequestDeleteRange().RangeEnd) > 0 {
					u.ranges++
				}
			case op.GetRequestTxn() != nil:
				u.addTxn(op.GetRequestTxn())
			}
		}
	}
}

// TxnReads tells what applying txn reads beside single keys: ranges means that
// it must come first and last in its group, own that the group must be begun
// with readsOwn, since a range may be read after a write.
func TxnReads(txn *pb.TxnRequest) (ranges, own bool) {
	var u opUse
	u.addTxn(txn)
	return u.ranges > 0, u.ranges > 0 && u.writes > 0 && u.ops > 1
}

// HasPut tells whether either branch of a transaction holds a put, nested ones
// included.
func HasPut(txn *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{txn.Success, txn.Failure} {
		for _, op := range ops {
			if op.GetRequestPut() != nil || op.GetRequestTxn() != nil && HasPut(op.GetRequestTxn()) {
				return true
			}
		}
	}
	return false
}

// Txn applies a transaction. It returns the fields of the TxnResponse that
// follow the header, or a refusal that has changed nothing.
func (g *Group) Txn(txn *pb.TxnRequest) ([]byte, error) {
	g.store.stats.Txns.Add(1)
	r := g.open()
	defer r.close()
	reader := txnReader{view: r.view(), group: g}
	path, err := reader.choose(txn)
	if err != nil {
		return nil, err
	}
	if err := reader.check(path); err != nil {
		return nil, err
	}
	return r.run(path)
}

// ReadTxn answers a read-only transaction.
func (v View) ReadTxn(ctx context.Context, txn *pb.TxnRequest) ([]byte, error) {
	v.store.stats.Txns.Add(1)
	reader := txnReader{view: v}
	path, err := reader.choose(txn)
	if err != nil {
		return nil, err
	}
	if err := reader.check(path); err != nil {
		return nil, err
	}
	answer := wire.AppendBool(nil, tagTxnSucceeded, path.succeeded)
	for _, op := range path.ops {
		body, err := rangeOp(ctx, v, op.GetRequestRange())
		if err != nil {
			return nil, err
		}
		answer = appendOp(answer, tagOpRange, v.current, body)
		if v.most > 0 {
			v.most = max(1, v.most-len(body))
		}
	}
	return answer, nil
}

// chosen is the branch that a transaction's compares have selected; nested[i] is
// the choice of ops[i] if that is a transaction. All compares, nested ones too,
// are evaluated on the state before the transaction.
type chosen struct {
	succeeded bool
	ops       []*pb.RequestOp
	nested    map[int]*chosen
}

// txnReader reads the state before a transaction: through the group's look-ups
// when there is a group, since single keys written before it in the group are
// not in the engine yet.
type txnReader struct {
	view  View
	group *Group
}

func (t txnReader) get(key []byte) (version, bool, error) {
	if t.group != nil {
		v, ok, err := t.group.lookup(key, true)
		return v, ok && v.live(), err
	}
	if v, ok := t.view.store.cache.get(key); ok && v.rev.Main <= t.view.newest && (!v.live() || v.stored != nil) {
		return v, v.live(), nil
	}
	v, ok, err := load(t.view.src, key, t.view.newest)
	if err == nil && t.view.newest < t.view.store.compacted.Load() {
		err = ErrViewStale
	}
	return v, ok && v.live(), err
}

func (t txnReader) choose(txn *pb.TxnRequest) (*chosen, error) {
	c := &chosen{succeeded: true}
	for _, cmp := range txn.Compare {
		holds, err := t.compare(cmp)
		if err != nil {
			return nil, err
		}
		if !holds {
			c.succeeded = false
			break
		}
	}
	c.ops = txn.Success
	if !c.succeeded {
		c.ops = txn.Failure
	}
	for i, op := range c.ops {
		inner := op.GetRequestTxn()
		if inner == nil {
			continue
		}
		choice, err := t.choose(inner)
		if err != nil {
			return nil, err
		}
		if c.nested == nil {
			c.nested = make(map[int]*chosen)
		}
		c.nested[i] = choice
	}
	return c, nil
}

// compare evaluates one compare; over a range it must hold for every key in it.
func (t txnReader) compare(c *pb.Compare) (bool, error) {
	end, single, empty := rangeBounds(c.Key, c.RangeEnd)
	if single {
		v, ok, err := t.get(c.Key)
		if err != nil {
			return false, err
		}
		if !ok {
			return compareOne(c, nil)
		}
		return compareOne(c, v.kv())
	}
	holds, any := true, false
	if !empty {
		_, _, err := t.view.scan(context.Background(), c.Key, end, 0, func(_, value []byte) (bool, error) {
			any = true
			var err error
			holds, err = compareOne(c, value[1:])
			return holds, err
		})
		if err != nil {
			return false, err
		}
	}
	if !any {
		return compareOne(c, nil)
	}
	return holds, nil
}

// compareOne compares one key's record, nil if there is none. A missing key has no
// value, so a compare of values is false whatever the operator; its numbers are 0.
func compareOne(c *pb.Compare, record []byte) (bool, error) {
	kv, err := wire.ParseKeyValue(record)
	if err != nil {
		return false, err
	}
	var order int
	switch c.Target {
	case pb.Compare_VALUE:
		if record == nil {
			return false, nil
		}
		order = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_CREATE:
		order = cmp.Compare(kv.Create, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(kv.Mod, c.GetModRevision())
	case pb.Compare_VERSION:
		order = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_LEASE:
		order = cmp.Compare(kv.Lease, c.GetLease())
	default:
		// As in etcd, an unknown target compares as equal.
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0, nil
	case pb.Compare_NOT_EQUAL:
		return order != 0, nil
	case pb.Compare_GREATER:
		return order > 0, nil
	case pb.Compare_LESS:
		return order < 0, nil
	default:
		return true, nil // as in etcd, an unknown operator holds
	}
}

// check refuses a chosen branch that could fail half-way: what a put or a range
// asks for must hold before the transaction changes anything.
// What is asked of the state before comes first, as in etcd, whatever the
// transaction deletes itself.
func (t txnReader) check(c *chosen) error {
	if err := t.checkOps(c, nil); err != nil || !c.keepsOld() {
		return err
	}
	return t.checkOps(c, new(Spans))
}

// checkOps checks operations in order. gone, if not nil, collects what they delete.
func (t txnReader) checkOps(c *chosen, gone *Spans) error {
	for i, op := range c.ops {
		var err error
		switch {
		case op.GetRequestRange() != nil:
			err = t.checkRange(op.GetRequestRange())
		case op.GetRequestPut() != nil:
			err = t.checkPut(op.GetRequestPut(), gone)
		case op.GetRequestDeleteRange() != nil && gone != nil:
			d := op.GetRequestDeleteRange()
			end, single, _ := rangeBounds(d.Key, d.RangeEnd)
			if single {
				end = append(bytes.Clone(d.Key), 0)
			}
			gone.Add(d.Key, end)
		case op.GetRequestTxn() != nil:
			err = t.checkOps(c.nested[i], gone)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepsOld tells whether a put in the branch keeps a part of what it replaces.
func (c *chosen) keepsOld() bool {
	for i, op := range c.ops {
		if p := op.GetRequestPut(); p != nil && (p.IgnoreValue || p.IgnoreLease) {
			return true
		}
		if op.GetRequestTxn() != nil && c.nested[i].keepsOld() {
			return true
		}
	}
	return false
}

// checkRange refuses negative revisions as compacted once anything has been
// compacted; a plain Range takes them for the newest. etcd does so too.
func (t txnReader) checkRange(req *pb.RangeRequest) error {
	switch {
	case req.Revision == 0:
		return nil
	case req.Revision > t.view.current:
		return ErrFutureRevision
	case req.Revision < t.view.store.compacted.Load():
		return ErrCompacted
	}
	return nil
}

// checkPut refuses a put that keeps a part of what the transaction deletes before
// it. The server's check of overlaps lets some such transactions pass, as etcd's
// does; etcd then panics.
func (t txnReader) checkPut(req *pb.PutRequest, gone *Spans) error {
	if req.Lease != 0 && (t.group == nil || !t.group.leases.Exists(req.Lease)) {
		return ErrLeaseNotFound
	}
	if !req.IgnoreValue && !req.IgnoreLease {
		return nil
	}
	_, ok, err := t.get(req.Key)
	if err == nil && (!ok || gone != nil && gone.Covers(req.Key)) {
		return ErrKeyNotFound
	}
	return err
}

// run executes a checked branch in order; later operations see earlier ones.
func (r *request) run(c *chosen) ([]byte, error) {
	answer := wire.AppendBool(nil, tagTxnSucceeded, c.succeeded)
	for i, op := range c.ops {
		var tag byte
		var body []byte
		var err error
		switch {
		case op.GetRequestRange() != nil:
			tag = tagOpRange
			v := r.view()
			if req := op.GetRequestRange(); len(req.RangeEnd) == 0 && req.Revision <= 0 {
				body, err = r.rangeOwn(req)
			} else {
				body, err = rangeOp(context.Background(), v, req)
			}
		case op.GetRequestPut() != nil:
			tag = tagOpPut
			body, err = r.put(op.GetRequestPut())
		case op.GetRequestDeleteRange() != nil:
			tag = tagOpDeleteRange
			body, err = r.deleteRange(op.GetRequestDeleteRange())
		case op.GetRequestTxn() != nil:
			if body, err = r.run(c.nested[i]); err == nil {
				// A nested transaction's answer has an empty header.
				body = append([]byte{1<<3 | 2, 0}, body...)
				answer = wire.AppendMessage(answer, tagTxnResponse, wire.AppendMessage(nil, tagOpTxn, body))
				continue
			}
		}
		if err != nil {
			// The branch was checked, so this is damage, not a refusal: half a
			// transaction must never be committed.
			panic(fmt.Sprintf("mvcc: operation %d of a checked transaction failed: %v", i, err))
		}
		answer = appendOp(answer, tag, r.revision(), body)
	}
	return answer, nil
}

// rangeOwn answers a range for one key at the newest revision inside a group:
// what the group has written is in the cache or in src.
func (r *request) rangeOwn(req *pb.RangeRequest) ([]byte, error) {
	r.g.store.stats.Ranges.Add(1)
	v, ok, err := r.g.lookup(req.Key, true)
	if err != nil || !ok || !v.live() {
		return nil, err
	}
	a := new(wire.Answer)
	if !req.CountOnly {
		c := newCollector(req, a)
		if err := c.add(v.kv()); err != nil {
			return nil, err
		}
		if err := c.finish(); err != nil {
			return nil, err
		}
	}
	a.Int(tagRangeCount, 1)
	return a.Bytes(), nil
}

func rangeOp(ctx context.Context, v View, req *pb.RangeRequest) ([]byte, error) {
	a := new(wire.Answer)
	defer a.Release()
	if err := v.Range(ctx, req, a); err != nil {
		return nil, err
	}
	return bytes.Clone(a.Bytes()), nil
}

// appendOp appends one ResponseOp; inside a transaction headers carry only the
// revision.
func appendOp(answer []byte, tag byte, revision int64, body []byte) []byte {
	msg := wire.Header{Revision: revision}.AppendField(make([]byte, 0, len(body)+16))
	msg = append(msg, body...)
	return wire.AppendMessage(answer, tagTxnResponse, wire.AppendMessage(nil, tag, msg))
}
