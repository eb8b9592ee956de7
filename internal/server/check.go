package server

import (
	"bytes"

	"bowline/internal/mvcc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Checks of shape: what is wrong with a request whatever the state.

func checkRange(r *pb.RangeRequest) error {
	if len(r.Key) == 0 {
		return ErrEmptyKey
	}
	if _, ok := pb.RangeRequest_SortOrder_name[int32(r.SortOrder)]; !ok {
		return ErrInvalidSort
	}
	if _, ok := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]; !ok {
		return ErrInvalidSort
	}
	return nil
}

func checkStream(r *pb.RangeRequest) error {
	if r.SortOrder != pb.RangeRequest_NONE && (r.SortOrder != pb.RangeRequest_ASCEND || r.SortTarget != pb.RangeRequest_KEY) {
		return ErrStreamSort
	}
	if r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0 {
		return ErrStreamFilters
	}
	return nil
}

func checkPut(r *pb.PutRequest) error {
	switch {
	case len(r.Key) == 0:
		return ErrEmptyKey
	case r.IgnoreValue && len(r.Value) > 0:
		return ErrValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return ErrLeaseProvided
	}
	return nil
}

func checkDeleteRange(r *pb.DeleteRangeRequest) error {
	if len(r.Key) == 0 {
		return ErrEmptyKey
	}
	return nil
}

// maxTxnDepth is how deep transactions may be nested, the outermost counted, whatever
// number of operations is allowed: they are walked by recursion. The default of that
// number allows as many: one operation in each, and none in the innermost.
const maxTxnDepth = 129

func checkTxn(r *pb.TxnRequest, maxOps int) error {
	if err := checkTxnShape(r, maxOps, maxTxnDepth); err != nil {
		return err
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		if _, _, err := checkOverlap(ops); err != nil {
			return err
		}
	}
	return nil
}

// checkTxnShape counts as etcd does: a nested transaction may have as many operations in
// a branch as the longest list of the one around it has left.
func checkTxnShape(r *pb.TxnRequest, maxOps, depth int) error {
	used := max(len(r.Compare), len(r.Success), len(r.Failure))
	if used > maxOps || depth == 0 {
		return ErrTooManyOps
	}
	for _, c := range r.Compare {
		if len(c.GetKey()) == 0 {
			return ErrEmptyKey
		}
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			if err := checkOp(op, maxOps-used, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOp(op *pb.RequestOp, maxOps, depth int) error {
	switch {
	case op.GetRequestRange() != nil:
		return checkRange(op.GetRequestRange())
	case op.GetRequestPut() != nil:
		return checkPut(op.GetRequestPut())
	case op.GetRequestDeleteRange() != nil:
		return checkDeleteRange(op.GetRequestDeleteRange())
	case op.GetRequestTxn() != nil:
		return checkTxnShape(op.GetRequestTxn(), maxOps, depth)
	}
	return ErrKeyNotFound
}

// addDeletion adds the keys that a deletion covers. A range end of "\x00" is
// taken as it stands: etcd does not translate it here, so such a deletion never
// overlaps.
func addDeletion(s *mvcc.Spans, d *pb.DeleteRangeRequest) {
	end := d.RangeEnd
	if len(end) == 0 {
		end = append(bytes.Clone(d.Key), 0)
	}
	s.Add(d.Key, end)
}

// checkOverlap refuses a list of operations that puts a key twice, or puts a key
// that it also deletes. Within a nested transaction only one branch runs, so
// puts of its two branches may meet each other, but not those outside it. As in
// etcd, a put in one nested transaction and a deletion in a later one pass.
func checkOverlap(ops []*pb.RequestOp) (puts map[string]struct{}, deletions *mvcc.Spans, err error) {
	puts, deletions = make(map[string]struct{}), new(mvcc.Spans)
	for _, op := range ops {
		if d := op.GetRequestDeleteRange(); d != nil {
			addDeletion(deletions, d)
		}
	}
	for _, op := range ops {
		inner := op.GetRequestTxn()
		if inner == nil {
			continue
		}
		thenPuts, thenDeletions, err := checkOverlap(inner.Success)
		if err != nil {
			return nil, nil, err
		}
		elsePuts, elseDeletions, err := checkOverlap(inner.Failure)
		if err != nil {
			return nil, nil, err
		}
		for k := range elsePuts {
			thenPuts[k] = struct{}{}
		}
		for k := range thenPuts {
			if _, ok := puts[k]; ok || deletions.Covers([]byte(k)) {
				return nil, nil, ErrDuplicateKey
			}
		}
		for k := range thenPuts {
			puts[k] = struct{}{}
		}
		deletions.AddAll(thenDeletions)
		deletions.AddAll(elseDeletions)
	}
	for _, op := range ops {
		p := op.GetRequestPut()
		if p == nil {
			continue
		}
		if _, ok := puts[string(p.Key)]; ok || deletions.Covers(p.Key) {
			return nil, nil, ErrDuplicateKey
		}
		puts[string(p.Key)] = struct{}{}
	}
	return puts, deletions, nil
}
