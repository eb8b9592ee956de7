package security

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bowline/internal/audit"
	"bowline/internal/member"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// metric reads a figure.
func metric(t *testing.T, addr, name string) string {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestMemoryShort: a process that has more than it should refuses what is dear, and
// nothing else.
func TestMemoryShort(t *testing.T) {
	r := startHTTP(t, "--memory-watermark=1048576") // less than any process has
	conn, err := grpc.NewClient(r.client, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, kv := t.Context(), pb.NewKVClient(conn)
	putMany(t, kv)
	all := pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}
	read := func(change func(*pb.RangeRequest)) error {
		q := &pb.RangeRequest{Key: all.Key, RangeEnd: all.RangeEnd}
		change(q)
		_, err := kv.Range(ctx, q)
		return err
	}
	txn := func(ops ...*pb.RequestOp) error {
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("x")}}})
		_, err := kv.Txn(ctx, &pb.TxnRequest{Success: ops})
		return err
	}
	list := func(limit int64) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: all.Key, RangeEnd: all.RangeEnd, Limit: limit}}}
	}
	_, granted := pb.NewLeaseClient(conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
	for what, c := range map[string]struct {
		err     error
		refused bool
	}{
		"everything": {read(func(*pb.RangeRequest) {}), true},
		"everything, sorted": {read(func(q *pb.RangeRequest) {
			q.Limit, q.SortOrder, q.SortTarget = 1, pb.RangeRequest_ASCEND, pb.RangeRequest_MOD
		}), true},
		"everything, in a txn":     {second(kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{list(400), list(400)}})), true},
		"a page":                   {read(func(q *pb.RangeRequest) { q.Limit = 400 }), false},
		"the number":               {read(func(q *pb.RangeRequest) { q.CountOnly = true }), false},
		"the keys":                 {read(func(q *pb.RangeRequest) { q.KeysOnly = true }), false},
		"a key":                    {read(func(q *pb.RangeRequest) { q.Key, q.RangeEnd = []byte("k00001"), nil }), false},
		"a write that reads all":   {txn(list(0)), true},
		"a write that reads a bit": {txn(list(10)), false},
		"a deletion that shows all": {second(kv.DeleteRange(ctx, &pb.DeleteRangeRequest{
			Key: all.Key, RangeEnd: all.RangeEnd, PrevKv: true})), true},
		"a snapshot": {func() error {
			s, err := pb.NewMaintenanceClient(conn).Snapshot(ctx, &pb.SnapshotRequest{})
			return first(s.Recv, err)
		}(), true},
		"a stream of everything": {func() error {
			s, err := kv.RangeStream(ctx, &all)
			return first(s.Recv, err)
		}(), false},
		"a lease": {granted, false},
		"a watch": {watchOnce(ctx, conn), false},
	} {
		if refused := status.Code(c.err) == codes.ResourceExhausted; refused != c.refused || c.err != nil && !refused {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	refusedWatches := 0
	for range 300 {
		if err := watchOnce(ctx, conn); err != nil {
			if !strings.Contains(err.Error(), "memory is short") {
				t.Fatal(err)
			}
			refusedWatches++
		}
	}
	if refusedWatches == 0 {
		t.Error("300 watches at once")
	}
	if short, refused := metric(t, r.metrics, "bowline_memory_short"), metric(t, r.metrics, "bowline_memory_refused_total"); short != "1" || refused == "0" {
		t.Errorf("metrics: short %s, refused %s", short, refused)
	}
	if _, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: all.Key, RangeEnd: all.RangeEnd}); err != nil {
		t.Error(err)
	}
}

// putMany puts 1200 keys of 2 KiB.
func putMany(t *testing.T, kv pb.KVClient) {
	t.Helper()
	value := make([]byte, 2<<10)
	for i := range 12 {
		txn := new(pb.TxnRequest)
		for j := range 100 {
			txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
				RequestPut: &pb.PutRequest{Key: fmt.Appendf(nil, "k%02d%03d", i, j), Value: value}}})
		}
		if _, err := kv.Txn(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
	}
}

func second[A any](_ A, err error) error { return err }

// TestUserRates: who asks too much is refused, whatever it is, and nobody else is.
func TestUserRates(t *testing.T) {
	r := startAuth(t, func(c *member.Config) { c.UserRequests, c.UserBytes = 50, 100_000 })
	r.addUser("root", "root")
	r.addRole("all", authpb.READWRITE, "a", "z")
	r.addUser("greedy", "all")
	r.addUser("modest", "all")
	r.enable()
	r.login("greedy", "modest")
	exhausted := func(user string, bytes int) (err error) {
		for range 500 {
			if err = r.put(user, "k", strings.Repeat("x", bytes), 0); err != nil {
				return err
			}
		}
		return nil
	}
	if err := exhausted("greedy", 1); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "too many requests of this user") {
		t.Errorf("500 requests at once: %v", err)
	}
	if err := exhausted("modest", 20_000); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "too many bytes") {
		t.Errorf("10 MB at once: %v", err)
	}
	if err := exhausted("root", 1); err != nil {
		t.Errorf("root: %v", err)
	}
	if n := metric(t, r.cfg.ListenClientURLs[0].Host, `bowline_user_refused_total{user="greedy"}`); n == "" || n == "0" {
		t.Errorf("%q refusals of greedy are shown", n)
	}
}

// TestAuditLog: who did what with which result is written down, whatever it was, and no
// secret is.
func TestAuditLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	r := startAuth(t, func(c *member.Config) { c.Audit.Path, c.Audit.MaxSizeMB = path, 1 })
	r.addUser("root", "root")
	r.addRole("k", authpb.READWRITE, "k", "")
	r.addUser("alice", "k")
	r.enable()
	r.login("alice")
	const secret = "a-secret-value"
	if err := r.put("alice", "k", secret, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.put("alice", "not hers", secret, 0); err == nil {
		t.Fatal("alice may put everything")
	}
	forged := metadata.AppendToOutgoingContext(r.as("alice"), "x-forwarded-for", "6.6.6.6", "grpcgateway-accept", "*/*", "username", "root")
	_, err := pb.NewKVClient(r.plain).Txn(forged, &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: k, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(secret)}}},
		Success: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: k}}},
			{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: k, Value: []byte(secret)}}}}}}},
		}})
	r.must(err)
	if err := watchOnce(r.as("alice"), r.plain); err != nil {
		t.Fatal(err)
	}
	if err := watchOnce(t.Context(), r.plain); err == nil {
		t.Fatal("anybody may watch")
	}
	for _, row := range slices.Concat(keyRows(), clusterRows(), authRows()) {
		ctx, cancel := context.WithTimeout(r.as("alice"), authPatience)
		_ = row.call(ctx, r.plain) // what comes of it is tested elsewhere
		cancel()
	}
	_, err = pb.NewClusterClient(r.named).MemberList(t.Context(), &pb.MemberListRequest{})
	r.must(err)
	r.must(r.member.Stop())
	text, err := os.ReadFile(path)
	r.must(err)
	for _, hidden := range []string{secret, "pw-alice", "pw-root", r.tokens["alice"], r.tokens["root"], "6.6.6.6"} {
		if bytes.Contains(text, []byte(hidden)) {
			t.Errorf("%q is in the audit log", hidden)
		}
	}
	calls := map[string]bool{}
	var lines []string
	for line := range strings.Lines(string(text)) {
		var a audit.Record
		r.must(json.Unmarshal([]byte(line), &a))
		calls[a.Call] = true
		port := a.Remote != ""
		a.Remote = ""
		lines = append(lines, fmt.Sprintf("%s|%s|%s|%s|%v|%s|%v|%v", a.User, a.CommonName, a.Call, a.Stream, a.Keys, a.Code, a.Revision > 0, port))
	}
	for _, want := range []string{
		"alice||KV/Put||[{put k    0}]|OK|true|true",
		"alice||KV/Put||[{put not hers    0}]|PermissionDenied|false|true",
		"alice||KV/Txn||[{compare k    0} {range k    0} {put k    0}]|OK|true|true",
		"alice||Watch/Watch|message|[{watch k    0}]|OK|false|true",
		"||Watch/Watch|message|[{watch k    0}]|InvalidArgument|false|true",
		"alice||Maintenance/Snapshot|end|[]|PermissionDenied|false|true",
		"certified|certified|Cluster/MemberList||[]|OK|false|true",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no line %s", want)
		}
	}
	for _, row := range slices.Concat(keyRows(), clusterRows(), authRows()) {
		_, call, _ := strings.Cut(row.method, ".")
		if !strings.Contains(row.method, "health") && !calls[call] {
			t.Errorf("%s is not written down", call)
		}
	}
}
