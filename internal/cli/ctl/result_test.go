package ctl

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// show prints a result in a format.
func show(t *testing.T, r cli.Result, format cli.Format, hex bool) string {
	t.Helper()
	var out strings.Builder
	p := cli.Printer{Out: &out, Format: format, Hex: hex}
	if err := p.Print(r); err != nil {
		return err.Error()
	}
	return out.String()
}

func TestMembers(t *testing.T) {
	resp := &pb.MemberListResponse{
		Header: &pb.ResponseHeader{ClusterId: 255, MemberId: 16, RaftTerm: 2},
		Members: []*pb.Member{
			{ID: 16, Name: "a", PeerURLs: []string{"http://p1", "http://p2"}, ClientURLs: []string{"http://c"}},
			{ID: 17, PeerURLs: []string{"http://q"}, IsLearner: true},
		},
	}
	if got, want := show(t, memberListResult(resp, false), cli.FormatSimple, false),
		"10, started, a, http://p1,http://p2, http://c, false\n11, unstarted, , http://q, , true\n"; got != want {
		t.Errorf("simple: %q", got)
	}
	if got, want := show(t, memberListResult(resp, false), cli.FormatJSON, false),
		`{"header":{"cluster_id":255,"member_id":16,"raft_term":2},"members":[{"ID":16,"name":"a","peerURLs":["http://p1","http://p2"],"clientURLs":["http://c"]},{"ID":17,"peerURLs":["http://q"],"isLearner":true}]}`+"\n"; got != want {
		t.Errorf("json: %s", got)
	}
	if got := show(t, memberListResult(resp, true), cli.FormatJSON, true); !strings.HasPrefix(got, `{"header":{"cluster_id":"ff","member_id":"10","raft_term":2},"members":[{"ID":"10",`) {
		t.Errorf("json in hex: %s", got)
	}

	added := &pb.MemberAddResponse{Header: resp.Header, Member: resp.Members[1], Members: resp.Members}
	if got, want := show(t, memberAddResult(added, "new", false), cli.FormatSimple, false),
		"Member               11 added as learner to cluster               ff\n\nETCD_NAME=\"new\"\n"+
			"ETCD_INITIAL_CLUSTER=\"a=http://p1,a=http://p2,new=http://q\"\n"+
			"ETCD_INITIAL_ADVERTISE_PEER_URLS=\"http://q\"\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"; got != want {
		t.Errorf("add: %q", got)
	}
	if got := show(t, memberAddResult(added, "new", false), cli.FormatFields, false); got != "fields not supported as output format" {
		t.Errorf("add as fields: %q", got)
	}
}

func TestTxnJSON(t *testing.T) {
	resp := &pb.TxnResponse{Header: fakeHeader, Succeeded: true, Responses: []*pb.ResponseOp{
		{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: 3}}}},
		{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: &pb.TxnResponse{Succeeded: true}}},
	}}
	want := `{"header":{"cluster_id":255,"member_id":16,"revision":3,"raft_term":2},"succeeded":true,"responses":[` +
		`{"Response":{"response_put":{"header":{"revision":3}}}},{"Response":{"response_txn":{"succeeded":true}}}]}` + "\n"
	if got := show(t, txnResult(resp), cli.FormatJSON, false); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestWatchResult(t *testing.T) {
	resp := &clientv3.WatchResponse{Header: fakeHeader, Events: []*clientv3.Event{
		{Kv: &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v")}, PrevKv: &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("u")}},
		{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte("k")}},
	}}
	if got, want := show(t, watchResult(resp), cli.FormatSimple, false), "PUT\nk\nu\nk\nv\nDELETE\nk\n\n"; got != want {
		t.Errorf("simple: %q", got)
	}
	if got, want := show(t, watchResult(&clientv3.WatchResponse{Header: fakeHeader}), cli.FormatJSON, false),
		`{"Header":{"cluster_id":255,"member_id":16,"revision":3,"raft_term":2},"Events":null,"CompactRevision":0,"Canceled":false,"Created":false,"CancelReason":""}`+"\n"; got != want {
		t.Errorf("json: %s", got)
	}
}

func TestLeaseProtobufIsTheWholeMessage(t *testing.T) {
	resp := &clientv3.LeaseTimeToLiveResponse{ResponseHeader: fakeHeader, ID: 255, TTL: -1}
	if got := show(t, timeToLiveResult(resp, false), cli.FormatSimple, false); got != "lease 00000000000000ff already expired\n" {
		t.Errorf("expired: %q", got)
	}
	if got := show(t, timeToLiveResult(resp, false), cli.FormatProtobuf, false); !strings.Contains(got, "\x10\xff\x01") {
		t.Errorf("protobuf without the ID: %q", got)
	}
	resp.TTL, resp.GrantedTTL, resp.Keys = 5, 9, [][]byte{[]byte("a"), []byte("b")}
	if got := show(t, timeToLiveResult(resp, true), cli.FormatSimple, false); got != "lease 00000000000000ff granted with TTL(9s), remaining(5s), attached keys([a b])\n" {
		t.Errorf("keys: %q", got)
	}
}

func TestStatus(t *testing.T) {
	st := memberStatus{"e", &pb.StatusResponse{
		Header: &pb.ResponseHeader{MemberId: 16, RaftTerm: 2}, Version: "3.7.1", DbSize: 24576, DbSizeInUse: 20480,
		DbSizeQuota: 2 << 30, Leader: 16, RaftTerm: 2, RaftIndex: 9, RaftAppliedIndex: 9, Errors: []string{"x", "y"},
	}}
	if got, want := show(t, statusResult([]memberStatus{st}), cli.FormatSimple, false),
		"e, 10, 3.7.1, , 25 kB, 20 kB, 17%, 2.1 GB, true, false, 2, 9, 9, x, y, , false\n"; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if got := show(t, statusResult(nil), cli.FormatJSON, false); got != "null\n" {
		t.Errorf("no endpoint: %q", got)
	}
	if percentFree(0, 0) != 0 {
		t.Error("an empty database has a share of free space")
	}
}

func TestRolePermissions(t *testing.T) {
	resp := &pb.AuthRoleGetResponse{Header: fakeHeader, Perm: []*authpb.Permission{
		{PermType: authpb.Permission_WRITE, Key: []byte("bar"), RangeEnd: []byte("baz")},
		{PermType: authpb.Permission_READ, Key: []byte("foo")},
		{PermType: authpb.Permission_READWRITE, Key: []byte("pfx/"), RangeEnd: []byte("pfx0")},
		{PermType: authpb.Permission_READ, Key: []byte("zzz"), RangeEnd: []byte{0}},
	}}
	want := "Role r\nKV Read:\n\tfoo\n\t[pfx/, pfx0) (prefix pfx/)\n\t[zzz, <open ended>\nKV Write:\n\t[bar, baz)\n\t[pfx/, pfx0) (prefix pfx/)\n"
	if got := show(t, roleResult(resp, "r"), cli.FormatSimple, false); got != want {
		t.Errorf("got %q", got)
	}
	if got := show(t, roleResult(&pb.AuthRoleGetResponse{}, "root"), cli.FormatSimple, false); got != "Role root\nKV Read:\n\t[, <open ended>\nKV Write:\n\t[, <open ended>\n" {
		t.Errorf("root: %q", got)
	}
}

func TestMirrorAppliesRevisionsAsTransactions(t *testing.T) {
	var kv fakeKV
	dest := clientv3.NewCtxClient(context.Background())
	dest.KV = &kv
	c := &copier{dest: dest, from: "src/", to: "dst/", maxTxnOps: 2}
	event := func(rev int64, key string) *clientv3.Event {
		return &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: rev}}
	}
	err := c.apply(context.Background(), []*clientv3.Event{
		event(1, "src/a"), event(1, "src/b"), event(1, "src/c"), event(2, "src/d"),
	})
	var sizes []int
	for _, op := range kv.ops {
		_, then, _ := op.Txn()
		sizes = append(sizes, len(then))
	}
	if err != nil || len(sizes) != 3 || sizes[0] != 2 || sizes[1] != 1 || sizes[2] != 1 || c.done.Load() != 4 {
		t.Errorf("transactions of %d, %d done, %v", sizes, c.done.Load(), err)
	}
	if _, then, _ := kv.ops[0].Txn(); string(then[0].KeyBytes()) != "dst/a" {
		t.Errorf("key %q", then[0].KeyBytes())
	}
}

func TestMirrorPrefix(t *testing.T) {
	for _, c := range []struct {
		o    makeMirror
		want string
	}{
		{makeMirror{prefix: "p"}, "p"},
		{makeMirror{prefix: "p", destPrefix: "q"}, "q"},
		{makeMirror{prefix: "p", noDestPrefix: true}, ""},
		{makeMirror{prefix: "p", rev: 5}, ""},
		{makeMirror{prefix: "p", rev: 5, destPrefix: "q"}, "q"},
	} {
		if got := c.o.destinationPrefix(); got != c.want {
			t.Errorf("%+v: %q", c.o, got)
		}
	}
}

func TestPaceKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		calls := 0
		pace(ctx, 150, func() bool { calls++; return true })
		if calls < 1490 || calls > 1500 {
			t.Errorf("%d calls in 10 s at 150/s", calls)
		}
	})
}

func TestPerfVerdict(t *testing.T) {
	r := &perfResult{took: time.Second, errors: errorCounts{}}
	for range 150 {
		r.add(10*time.Millisecond, nil)
	}
	b := newBench(t)
	if !r.report(b.env, 150) || !strings.HasSuffix(b.out.String(), "\nPASS\n") {
		t.Errorf("good load: %s", b.out.String())
	}
	perSecond, slowest, stddev := r.summary()
	if perSecond != 150 || slowest != 0.01 || math.Abs(stddev) > 1e-9 {
		t.Error(perSecond, slowest, stddev)
	}
	b.out.Reset()
	r.add(time.Second, nil)
	if r.report(b.env, 300) || !strings.Contains(b.out.String(), "FAIL: Throughput too low: 151 writes/s\nSlowest request took too long: 1.000000s\n") {
		t.Errorf("bad load: %s", b.out.String())
	}
}

func TestFindMetric(t *testing.T) {
	const text = "# HELP process_resident_memory_bytes x\nprocess_resident_memory_bytes 3.2e+07\nother 1\n"
	if v, err := findMetric(strings.NewReader(text), "process_resident_memory_bytes"); v != 3.2e7 || err != nil {
		t.Error(v, err)
	}
	if _, err := findMetric(strings.NewReader(text), "missing"); err == nil {
		t.Error("found a metric that is not there")
	}
}
