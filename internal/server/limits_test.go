package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"bowline/internal/node"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// ops are so many operations, the last of which is op, if there is one.
func ops(n int, op *pb.RequestOp) []*pb.RequestOp {
	all := make([]*pb.RequestOp, n)
	for i := range all {
		all[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k")}}}
	}
	if op != nil {
		all[n-1] = op
	}
	return all
}

func nested(txn *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: txn}}
}

// deep is a transaction of so many levels, one operation in each, the innermost empty.
func deep(levels int) *pb.TxnRequest {
	txn := new(pb.TxnRequest)
	for range levels - 1 {
		txn = &pb.TxnRequest{Success: ops(1, nested(txn))}
	}
	return txn
}

func TestOperationsOfATransaction(t *testing.T) {
	compares := make([]*pb.Compare, 129)
	for i := range compares {
		compares[i] = &pb.Compare{Key: []byte("k")}
	}
	for _, c := range []struct {
		name    string
		allowed int
		txn     *pb.TxnRequest
		refused bool
	}{
		{"none", 128, &pb.TxnRequest{}, false},
		{"as many compares as may be", 128, &pb.TxnRequest{Compare: compares[:128]}, false},
		{"one compare more", 128, &pb.TxnRequest{Compare: compares}, true},
		{"as many as may be, everywhere", 128, &pb.TxnRequest{Compare: compares[:128], Success: ops(128, nil), Failure: ops(128, nil)}, false},
		{"one more if it holds", 128, &pb.TxnRequest{Success: ops(129, nil)}, true},
		{"one more if not", 128, &pb.TxnRequest{Failure: ops(129, nil)}, true},
		{"none is allowed, and there is none", 0, &pb.TxnRequest{}, false},
		{"none is allowed", 0, &pb.TxnRequest{Success: ops(1, nil)}, true},
		{"nested ones have what is left", 128, &pb.TxnRequest{Success: ops(1, nested(&pb.TxnRequest{Success: ops(127, nil)}))}, false},
		{"and no more", 128, &pb.TxnRequest{Success: ops(1, nested(&pb.TxnRequest{Success: ops(128, nil)}))}, true},
		{"the other branch counts", 128, &pb.TxnRequest{Failure: ops(100, nil), Success: ops(1, nested(&pb.TxnRequest{Success: ops(29, nil)}))}, true},
		{"compares count", 128, &pb.TxnRequest{Compare: compares[:100], Success: ops(1, nested(&pb.TxnRequest{Success: ops(29, nil)}))}, true},
		{"several share what is left", 128, &pb.TxnRequest{Success: []*pb.RequestOp{
			nested(&pb.TxnRequest{Success: ops(126, nil)}), nested(&pb.TxnRequest{Failure: ops(126, nil)})}}, false},
		{"129 deep, with one operation in all but the innermost", 128, deep(129), false},
		{"130 deep", 128, deep(130), true},
		{"129 deep, many allowed", 1 << 20, deep(129), false},
		{"130 deep, many allowed", 1 << 20, deep(130), true},
		{"5,000 deep, as much as can be decoded", 1 << 20, deep(5000), true},
	} {
		err := checkTxn(c.txn, c.allowed)
		if refused := errors.Is(err, ErrTooManyOps); refused != c.refused || err != nil && !refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// behindNode has committed so much.
type behindNode struct {
	Node
	commit uint64
}

func (n behindNode) Status() node.Status { return node.Status{Commit: n.commit} }

// TestBacklog: proposals are refused when too much waits to be applied. What gets beyond
// that ends in encode.
func TestBacklog(t *testing.T) {
	passed := errors.New("passed")
	encode := func(header) ([]byte, error) { return nil, passed }
	for _, c := range []struct {
		behind         uint64
		urgent, asked  bool
		want           error
		whatIsProposed string
	}{
		{5000, false, false, passed, "anything"},
		{5001, false, false, ErrTooManyRequests, "anything"},
		{5001, true, false, ErrTooManyRequests, "a revocation without the gate"},
		{5001, false, true, ErrTooManyRequests, "anything with the gate"},
		{10000, true, true, passed, "a revocation with the gate"},
		{10001, true, true, ErrTooManyRequests, "a revocation with the gate"},
	} {
		m := newFuzzMachine(t)
		s := New(Config{UrgentRevocations: c.asked}, time.Unix(1, 0))
		s.Attach(m.fsm, behindNode{commit: m.fsm.Applied() + c.behind})
		ctx := context.Background()
		if c.urgent {
			ctx = s.urgent(ctx)
		}
		if _, err := s.propose(ctx, encode); !errors.Is(err, c.want) {
			t.Errorf("%s, %d behind: %v, want %v", c.whatIsProposed, c.behind, err, c.want)
		}
		if _, err := s.askAs(ctx, s.asRoot, encode); !errors.Is(err, c.want) {
			t.Errorf("%s on behalf of somebody, %d behind: %v, want %v", c.whatIsProposed, c.behind, err, c.want)
		}
	}
}
