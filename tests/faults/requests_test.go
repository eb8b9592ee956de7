package faults

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func opPut(key, value []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value}}}
}

func opDelete(key, end []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key, RangeEnd: end}}}
}

func opTxn(txn *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: txn}}
}

// nested is a transaction in a transaction, depth deep.
func nested(depth int) *pb.TxnRequest {
	txn := &pb.TxnRequest{Success: []*pb.RequestOp{opPut([]byte("deep"), nil)}}
	for range depth {
		txn = &pb.TxnRequest{Success: []*pb.RequestOp{opTxn(txn)}}
	}
	return txn
}

// deepAndWide has many operations under many levels: whoever looks at all of them
// on each level takes long.
func deepAndWide() *pb.TxnRequest {
	txn := new(pb.TxnRequest)
	for range 100_000 {
		txn.Success = append(txn.Success, opDelete([]byte("k"), nil))
	}
	txn.Success = append(txn.Success, opPut([]byte("k"), nil))
	for range 2000 {
		txn = &pb.TxnRequest{Success: []*pb.RequestOp{opTxn(txn)}}
	}
	return txn
}

// wide is a transaction of three levels, each as wide as the limit of operations
// lets it be, whose leaves are made by leaf from their number.
func wide(leaf func(i int) *pb.RequestOp) *pb.TxnRequest {
	const width = 42
	n := 0
	var level func(depth int) *pb.TxnRequest
	level = func(depth int) *pb.TxnRequest {
		txn := new(pb.TxnRequest)
		for range width {
			if depth == 0 {
				txn.Success = append(txn.Success, leaf(n))
				n++
				continue
			}
			txn.Success = append(txn.Success, opTxn(level(depth-1)))
		}
		return txn
	}
	return level(2)
}

const (
	maxProposal = 1572864
	maxMessage  = maxProposal + 512<<10
)

// limitCase is a request and how it is answered.
type limitCase struct {
	name string
	call func(ctx context.Context) error
	want codes.Code
}

func putCases(c *client) []limitCase {
	put := func(key []byte, n int) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.Put(ctx, &pb.PutRequest{Key: key, Value: make([]byte, n)})
			return err
		}
	}
	key := []byte("k")
	return []limitCase{
		{"a value that fits", put(key, maxProposal-512), codes.OK},
		{"a proposal that does not fit", put(key, maxProposal), codes.InvalidArgument},
		{"a message that does not fit", put(key, maxMessage+1), codes.ResourceExhausted},
		{"a message of 100 MiB", put(key, 100<<20), codes.ResourceExhausted},
		{"no key", put(nil, 0), codes.InvalidArgument},
		{"a key of a mebibyte", put(bytes.Repeat([]byte{0xff}, 1<<20), 0), codes.OK},
	}
}

func txnCases(c *client) []limitCase {
	txn := func(r *pb.TxnRequest) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.Txn(ctx, r)
			return err
		}
	}
	many := func(n int) (ops []*pb.RequestOp) {
		for i := range n {
			ops = append(ops, opPut(fmt.Append(nil, i), nil))
		}
		return ops
	}
	key := []byte("k")
	return []limitCase{
		{"as many operations as allowed", txn(&pb.TxnRequest{Success: many(128)}), codes.OK},
		{"one more", txn(&pb.TxnRequest{Failure: many(129)}), codes.InvalidArgument},
		{"compares", txn(&pb.TxnRequest{Compare: make129Compares()}), codes.InvalidArgument},
		{"as deep as allowed", txn(nested(127)), codes.OK},
		{"deeper", txn(nested(128)), codes.InvalidArgument},
		{"very deep", txn(nested(4000)), codes.InvalidArgument},
		{"very deep, and wide at the bottom", txn(deepAndWide()), codes.InvalidArgument},
		{"a key put twice", txn(&pb.TxnRequest{Success: []*pb.RequestOp{opPut(key, nil), opPut(key, nil)}}), codes.InvalidArgument},
		{"an operation of no kind", txn(&pb.TxnRequest{Success: []*pb.RequestOp{{}}}), codes.InvalidArgument},
		{"wide, of puts", txn(wide(func(i int) *pb.RequestOp { return opPut(fmt.Append(nil, i), nil) })), codes.OK},
		{"wide, of puts of one key", txn(wide(func(int) *pb.RequestOp { return opPut(key, nil) })), codes.InvalidArgument},
		{"wide, of deletions and then puts", txn(wide(func(i int) *pb.RequestOp {
			if i < 42*42*42/2 {
				return opDelete(fmt.Appendf(nil, "d%d", i), fmt.Appendf(nil, "d%d\x00", i))
			}
			return opPut(fmt.Append(nil, i), nil)
		})), codes.OK},
	}
}

func revisionCases(c *client) []limitCase {
	return []limitCase{
		{"a lease for ever", func(ctx context.Context) error {
			_, err := c.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 9_000_000_001})
			return err
		}, codes.OutOfRange},
		{"a revision to come", func(ctx context.Context) error {
			_, err := c.Range(ctx, &pb.RangeRequest{Key: []byte("k"), Revision: 1 << 62})
			return err
		}, codes.OutOfRange},
		{"a compaction to come", func(ctx context.Context) error {
			_, err := c.Compact(ctx, &pb.CompactionRequest{Revision: 1<<63 - 1})
			return err
		}, codes.OutOfRange},
		{"a hash to come", func(ctx context.Context) error {
			_, err := c.HashKV(ctx, &pb.HashKVRequest{Revision: 1<<63 - 1})
			return err
		}, codes.OutOfRange},
	}
}

// TestRequestsOverTheLimits are refused, with a clear error and at once, and the
// server goes on.
func TestRequestsOverTheLimits(t *testing.T) {
	s := startServer(t)
	c := dialTest(t, s)
	for _, x := range slices.Concat(putCases(c), txnCases(c), revisionCases(c)) {
		ctx, cancel := context.WithTimeout(testContext(t), 20*time.Second)
		began := time.Now()
		if err := x.call(ctx); status.Code(err) != x.want {
			t.Errorf("%s: %.200v, want %v", x.name, err, x.want)
		}
		cancel()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s takes %v", x.name, took)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	checkOffline(t, s.DataDir)
}

func make129Compares() []*pb.Compare {
	compares := make([]*pb.Compare, 129)
	for i := range compares {
		compares[i] = &pb.Compare{Key: []byte("k")}
	}
	return compares
}

// TestNoise sends what is no request at all to the client port.
func TestNoise(t *testing.T) {
	s := startServer(t)
	for _, noise := range [][]byte{
		nil, {0}, bytes.Repeat([]byte{0xff}, 1<<16), []byte("GET / HTTP/1.1\r\n"), []byte("GET /" + string(bytes.Repeat([]byte("x"), 2<<20))),
		[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame, and then nothing"), []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	} {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(noise) // it may be cut off half-way
	}
	if _, err := dialTest(t, s).Put(testContext(t), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Error(err)
	}
}
