package auth

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Need is one thing that a request does: it reads or writes a key or range, in the
// wire's terms, or does so to all keys that are attached to a lease.
type Need struct {
	Write    bool
	Key, End []byte
	// Lease, if it is not 0, stands in the place of Key and End.
	Lease int64
}

// Attached calls f with each key that is attached to a lease, none if there is no such
// lease. It stops at f's first error and returns it.
type Attached func(lease int64, f func(key []byte) error) error

// EachNeed calls f with all that a request needs, whatever part of it will run, until f
// fails. Requests that it does not know need nothing.
func EachNeed(req any, f func(Need) error) error {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return f(Need{Key: r.GetKey(), End: r.GetRangeEnd()})
	case *pb.WatchCreateRequest:
		return f(Need{Key: r.GetKey(), End: r.GetRangeEnd()})
	case *pb.PutRequest:
		return eachOfPut(r, f)
	case *pb.DeleteRangeRequest:
		return eachOfDeletion(r, f)
	case *pb.TxnRequest:
		return eachOfTxn(r, f)
	case *pb.LeaseRevokeRequest:
		return eachOfLease(r.GetID(), true, f)
	case *pb.LeaseKeepAliveRequest:
		return eachOfLease(r.GetID(), true, f)
	case *pb.LeaseTimeToLiveRequest:
		if r.GetKeys() {
			return eachOfLease(r.GetID(), false, f)
		}
	}
	return nil
}

// eachOfPut: whoever attaches a key to a lease lets it be deleted with those that are
// attached already, and keeps those alive, so it must be allowed to write them all.
func eachOfPut(r *pb.PutRequest, f func(Need) error) error {
	if err := f(Need{Write: true, Key: r.GetKey()}); err != nil {
		return err
	}
	if err := eachOfLease(r.GetLease(), true, f); err != nil {
		return err
	}
	if r.GetPrevKv() {
		return f(Need{Key: r.GetKey()})
	}
	return nil
}

func eachOfDeletion(r *pb.DeleteRangeRequest, f func(Need) error) error {
	if err := f(Need{Write: true, Key: r.GetKey(), End: r.GetRangeEnd()}); err != nil || !r.GetPrevKv() {
		return err
	}
	return f(Need{Key: r.GetKey(), End: r.GetRangeEnd()})
}

func eachOfLease(id int64, write bool, f func(Need) error) error {
	if id == 0 {
		return nil
	}
	return f(Need{Write: write, Lease: id})
}

func eachOfTxn(r *pb.TxnRequest, f func(Need) error) error {
	for _, c := range r.GetCompare() {
		if err := f(Need{Key: c.GetKey(), End: c.GetRangeEnd()}); err != nil {
			return err
		}
	}
	if err := eachOfOps(r.GetSuccess(), f); err != nil {
		return err
	}
	return eachOfOps(r.GetFailure(), f)
}

func eachOfOps(ops []*pb.RequestOp, f func(Need) error) error {
	for _, op := range ops {
		var err error
		switch {
		case op.GetRequestRange() != nil:
			err = f(Need{Key: op.GetRequestRange().GetKey(), End: op.GetRequestRange().GetRangeEnd()})
		case op.GetRequestPut() != nil:
			err = eachOfPut(op.GetRequestPut(), f)
		case op.GetRequestDeleteRange() != nil:
			err = eachOfDeletion(op.GetRequestDeleteRange(), f)
		case op.GetRequestTxn() != nil:
			err = eachOfTxn(op.GetRequestTxn(), f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Check refuses a request of which an identity may not do every part.
func (r *Rules) Check(id Identity, req any, attached Attached) error {
	if !r.Enabled {
		return nil
	}
	return EachNeed(req, func(n Need) error {
		switch {
		case n.Lease == 0:
			return r.permit(id, n)
		case r.Admin(id) == nil:
			return nil
		}
		return attached(n.Lease, func(key []byte) error { return r.permit(id, Need{Write: n.Write, Key: key}) })
	})
}

// AsksForLease tells whether Check would look at the keys of a lease.
func (r *Rules) AsksForLease(id Identity, req any) bool {
	if !r.Enabled || r.Admin(id) == nil {
		return false
	}
	return EachNeed(req, func(n Need) error {
		if n.Lease != 0 {
			return ErrDenied
		}
		return nil
	}) != nil
}
