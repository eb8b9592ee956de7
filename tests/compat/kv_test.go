package compat

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestTxn(t *testing.T) {
	c, ctx := start(t)
	put(t, ctx, c, "a", "1")
	// The comparisons of an inner transaction see what was before the outer one;
	// its operations see what the outer one has written.
	r, err := c.Txn(ctx).If(
		clientv3.Compare(clientv3.Value("a"), "=", "1"),
		clientv3.Compare(clientv3.CreateRevision("b"), "=", 0),
		clientv3.Compare(clientv3.Version("a").WithRange("c"), "<", 2),
	).Then(
		clientv3.OpPut("b", "2"),
		clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision("b"), "=", 0)},
			[]clientv3.Op{clientv3.OpGet("b")},
			[]clientv3.Op{clientv3.OpPut("c", "wrong")},
		),
	).Else(clientv3.OpPut("a", "wrong")).Commit()
	must(t, err)
	inner := r.Responses[1].GetResponseTxn()
	if !r.Succeeded || !inner.Succeeded || string(inner.Responses[0].GetResponseRange().Kvs[0].Value) != "2" {
		t.Errorf("the transaction says %v", r)
	}
	if r, err = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision("a"), ">", 2)).Else(clientv3.OpDelete("a")).Commit(); err != nil || r.Succeeded {
		t.Errorf("the second says %v, %v", r, err)
	}
	if _, err := c.Txn(ctx).Then(clientv3.OpPut("a", "1"), clientv3.OpPut("a", "2")).Commit(); !errors.Is(err, rpctypes.ErrDuplicateKey) {
		t.Errorf("writing a key twice: %v", err)
	}
	var many []clientv3.Op
	for i := range 129 {
		many = append(many, clientv3.OpPut(fmt.Sprint(i), ""))
	}
	if _, err := c.Txn(ctx).Then(many...).Commit(); !errors.Is(err, rpctypes.ErrTooManyOps) {
		t.Errorf("129 operations: %v", err)
	}
}

func TestRangesAndRevisions(t *testing.T) {
	c, ctx := start(t)
	for i := range 20 {
		put(t, ctx, c, fmt.Sprintf("k%02d", i), fmt.Sprint(20-i))
	}
	keys := func(r *clientv3.GetResponse, err error) (text string) {
		t.Helper()
		must(t, err)
		for _, kv := range r.Kvs {
			text += string(kv.Key[1:]) + " "
		}
		return fmt.Sprintf("%sof %d, more %v", text, r.Count, r.More)
	}
	for _, c := range []struct{ got, want string }{
		{keys(c.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithLimit(2))), "00 01 of 20, more true"},
		{keys(c.Get(ctx, "k18", clientv3.WithFromKey())), "18 19 of 2, more false"},
		{keys(c.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByValue, clientv3.SortDescend), clientv3.WithLimit(2))), "11 12 of 20, more true"},
		{keys(c.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(3))), "00 01 of 2, more false"},
		{keys(c.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithMinModRev(20))), "18 19 of 20, more false"},
		{keys(c.Get(ctx, "k", clientv3.WithLastRev()...)), "19 of 20, more true"},
		{keys(c.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithCountOnly())), "of 20, more false"},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
	if _, err := c.Get(ctx, "k", clientv3.WithRev(100)); !errors.Is(err, rpctypes.ErrFutureRev) {
		t.Errorf("a revision to come: %v", err)
	}
	_, err := c.Compact(ctx, 10)
	must(t, err)
	if _, err := c.Get(ctx, "k", clientv3.WithRev(5)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("a revision that is gone: %v", err)
	}
}

func TestGetStream(t *testing.T) {
	c, ctx := start(t)
	const keys = 300
	for i := range keys {
		put(t, ctx, c, fmt.Sprintf("k%03d", i), "value")
	}
	chunks, err := c.GetStream(ctx, "k", clientv3.WithPrefix())
	must(t, err)
	seen := 0
	for chunk := range chunks {
		must(t, chunk.Err())
		for _, kv := range chunk.RangeResponse.Kvs {
			if want := fmt.Sprintf("k%03d", seen); string(kv.Key) != want {
				t.Fatalf("key %d is %s", seen, kv.Key)
			}
			seen++
		}
	}
	if seen != keys {
		t.Errorf("%d keys came", seen)
	}
}

func TestMaintenance(t *testing.T) {
	s := startServer(t)
	c, ctx := newClient(t, s), limited(t)
	put(t, ctx, c, "a", "1")
	status, err := c.Status(ctx, s.Addr)
	must(t, err)
	if status.Version != "3.7.1" || status.Leader != status.Header.MemberId || status.IsLearner || len(status.Errors) != 0 {
		t.Errorf("the status is %v", status)
	}
	_, err = c.Defragment(ctx, s.Addr)
	must(t, err)
	hash, err := c.HashKV(ctx, s.Addr, 0)
	must(t, err)
	if hash.Hash == 0 || hash.HashRevision != 2 {
		t.Errorf("the hash is %v", hash)
	}
	alarms, err := c.AlarmList(ctx)
	must(t, err)
	if len(alarms.Alarms) != 0 {
		t.Errorf("alarms are %v", alarms.Alarms)
	}
	must(t, c.Sync(ctx))
	if got := c.Endpoints(); len(got) != 1 || got[0] != "http://"+s.Addr {
		t.Errorf("the endpoints are %v", got)
	}
}
