package ctl

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// bench runs command lines against a fake store.
type bench struct {
	env      *Env
	out, err bytes.Buffer
	kv       fakeKV
	dialed   []clientv3.Config
}

func newBench(t *testing.T, environ ...string) *bench {
	t.Helper()
	b := &bench{}
	b.env = &Env{
		In:      strings.NewReader(""),
		Out:     &b.out,
		Err:     &b.err,
		Environ: environ,
		Dial: func(cfg clientv3.Config) (*clientv3.Client, error) {
			b.dialed = append(b.dialed, cfg)
			if len(cfg.Endpoints) == 0 {
				return nil, clientv3.ErrNoAvailableEndpoints
			}
			c := clientv3.NewCtxClient(context.Background())
			c.KV = &b.kv
			return c, nil
		},
		LookupSRV: func(context.Context, string, string, string) (string, []*net.SRV, error) {
			return "", nil, errors.New("no such host")
		},
		Notify: func() (<-chan os.Signal, func()) { return nil, func() {} },
		After:  func(time.Duration) <-chan time.Time { c := make(chan time.Time, 1); c <- time.Now(); return c },
	}
	return b
}

// run runs a command line and returns the exit status.
func (b *bench) run(stdin string, args ...string) int {
	b.env.In, b.env.in = strings.NewReader(stdin), nil
	b.env.globals = globals{}
	b.out.Reset()
	b.err.Reset()
	return Run(context.Background(), b.env, args)
}

// fakeKV answers every request with one key, and remembers what it was asked.
type fakeKV struct {
	clientv3.KV
	ops []clientv3.Op
	err error
}

var fakeHeader = &pb.ResponseHeader{ClusterId: 255, MemberId: 16, Revision: 3, RaftTerm: 2}

func (f *fakeKV) Get(_ context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	f.ops = append(f.ops, clientv3.OpGet(key, opts...))
	resp := &pb.RangeResponse{Header: fakeHeader, Count: 1, Kvs: []*mvccpb.KeyValue{
		{Key: []byte(key), Value: []byte("v"), CreateRevision: 1, ModRevision: 2, Version: 3, Lease: 255},
	}}
	return (*clientv3.GetResponse)(resp), f.err
}

func (f *fakeKV) Do(_ context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	f.ops = append(f.ops, op)
	if f.err != nil {
		return clientv3.OpResponse{}, f.err
	}
	if op.IsDelete() {
		return (*clientv3.DeleteResponse)(&pb.DeleteRangeResponse{Header: fakeHeader, Deleted: 2}).OpResponse(), nil
	}
	return (*clientv3.PutResponse)(&pb.PutResponse{Header: fakeHeader}).OpResponse(), nil
}

func (f *fakeKV) Txn(context.Context) clientv3.Txn { return &fakeTxn{kv: f} }

// fakeTxn records its operations and succeeds.
type fakeTxn struct {
	kv   *fakeKV
	cmps []clientv3.Cmp
	then []clientv3.Op
}

func (t *fakeTxn) If(cmps ...clientv3.Cmp) clientv3.Txn { t.cmps = cmps; return t }
func (t *fakeTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.then = ops; return t }
func (t *fakeTxn) Else(...clientv3.Op) clientv3.Txn     { return t }

func (t *fakeTxn) Commit() (*clientv3.TxnResponse, error) {
	t.kv.ops = append(t.kv.ops, clientv3.OpTxn(t.cmps, t.then, nil))
	resp := &pb.TxnResponse{Header: fakeHeader, Succeeded: true}
	for _, op := range t.then {
		if op.IsPut() {
			resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{
				ResponsePut: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: 3}}}})
		}
	}
	return (*clientv3.TxnResponse)(resp), t.kv.err
}
