package security

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"bowline/internal/member"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// withMallory is a member with a secret, and a user that may do everything to the keys
// of the prefix m/, write w/, and nothing else.
func withMallory(t *testing.T, change func(*member.Config)) *authRig {
	t.Helper()
	r := startAuth(t, change)
	r.addRole("m", authpb.Permission_READWRITE, "m/", "m0")
	r.addRole("m", authpb.Permission_WRITE, "w/", "w0")
	r.addUser("mallory", "m")
	lease := pb.NewLeaseClient(r.plain)
	for _, id := range []int64{7, 8} {
		_, err := lease.LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: 3600})
		r.must(err)
	}
	r.must(r.put("", "secret", "value", 7))
	r.must(r.put("", "w/secret", "value", 0))
	r.must(r.put("", "m/own", "value", 8))
	r.enable()
	r.login("mallory")
	return r
}

func putOp(key string, change func(*pb.PutRequest)) *pb.RequestOp {
	r := &pb.PutRequest{Key: []byte(key)}
	if change != nil {
		change(r)
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func getOp(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func deleteOp(key, end string, prev bool) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end), PrevKv: prev}}}
}

func nested(ops ...*pb.RequestOp) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: ops}}}
}

func compared(key, end string) *pb.Compare {
	return &pb.Compare{Key: []byte(key), RangeEnd: []byte(end), Target: pb.Compare_VALUE, Result: pb.Compare_GREATER,
		TargetUnion: &pb.Compare_Value{Value: []byte("a")}}
}

// TestTransactionsHideNothing: whatever stands in a transaction, and however deep, is
// judged, whether it would run or not.
func TestTransactionsHideNothing(t *testing.T) {
	r := withMallory(t, nil)
	kv := pb.NewKVClient(r.plain)
	prev := func(p *pb.PutRequest) { p.PrevKv = true }
	for name, req := range map[string]*pb.TxnRequest{
		"compare":                         {Compare: []*pb.Compare{compared("secret", "")}},
		"compare a range":                 {Compare: []*pb.Compare{compared("m/", "t")}},
		"compare what may be written":     {Compare: []*pb.Compare{compared("w/secret", "")}, Success: []*pb.RequestOp{putOp("w/x", nil)}},
		"read":                            {Success: []*pb.RequestOp{getOp("secret", "")}},
		"read beside what is one's own":   {Success: []*pb.RequestOp{getOp("m/own", ""), getOp("m/", "m0\x00")}},
		"read in the branch that fails":   {Failure: []*pb.RequestOp{getOp("secret", "")}},
		"put another's":                   {Success: []*pb.RequestOp{putOp("secret", nil)}},
		"put another's, not run":          {Success: []*pb.RequestOp{putOp("m/x", nil)}, Failure: []*pb.RequestOp{putOp("secret", nil)}},
		"previous value by a put":         {Success: []*pb.RequestOp{putOp("w/secret", prev)}},
		"previous values by a deletion":   {Success: []*pb.RequestOp{deleteOp("w/", "w0", true)}},
		"delete beyond":                   {Success: []*pb.RequestOp{deleteOp("m/", "t", false)}},
		"nested read":                     {Success: []*pb.RequestOp{nested(getOp("secret", ""))}},
		"nested four times":               {Success: []*pb.RequestOp{nested(nested(nested(nested(putOp("w/secret", prev)))))}},
		"nested in the branch that fails": {Failure: []*pb.RequestOp{putOp("m/x", nil), nested(getOp("\x00", "\x00"))}},
		"nested comparison": {Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{
			RequestTxn: &pb.TxnRequest{Compare: []*pb.Compare{compared("secret", "")}, Success: []*pb.RequestOp{putOp("m/bit", nil)}}}}}},
		"another's lease":         {Success: []*pb.RequestOp{putOp("m/x", func(p *pb.PutRequest) { p.Lease = 7 })}},
		"another's lease, nested": {Success: []*pb.RequestOp{nested(putOp("m/x", func(p *pb.PutRequest) { p.Lease = 7 }))}},
		"keeping value and lease": {Success: []*pb.RequestOp{putOp("secret", func(p *pb.PutRequest) { p.IgnoreValue, p.IgnoreLease = true, true })}},
	} {
		_, err := kv.Txn(r.as("mallory"), req)
		wantDenied(t, name, err)
	}
	got, err := kv.Range(r.as("root"), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	r.must(err)
	if len(got.Kvs) != 3 || got.Header.Revision != 4 {
		t.Errorf("what was refused has left %d keys at revision %d", len(got.Kvs), got.Header.Revision)
	}
}

// TestHandMadeTransactions: a field that is there twice is merged by some decoders and
// replaced by others. Whatever is judged must be what is carried out.
func TestHandMadeTransactions(t *testing.T) {
	r := withMallory(t, nil)
	field := func(b []byte, num protowire.Number, inside []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), inside)
	}
	key := func(k string) []byte { return field(nil, 1, []byte(k)) }
	const success, opPut = 2, 2
	for name, raw := range map[string][]byte{
		"a put's key twice":     append(key("m/x"), key("secret")...),
		"an unknown field":      append(key("secret"), field(nil, 99, []byte("m/x"))...),
		"a key with more bytes": field(nil, 1, append([]byte("secret"), key("m/x")...)),
	} {
		err := r.plain.Invoke(r.as("mallory"), "/etcdserverpb.KV/Put", raw, new(pb.PutResponse), grpc.ForceCodec(rawCodec{}))
		wantDenied(t, name, err)
	}
	twice := append(field(nil, opPut, key("m/x")), field(nil, opPut, key("secret"))...)
	err := r.plain.Invoke(r.as("mallory"), "/etcdserverpb.KV/Txn", field(nil, success, twice), new(pb.TxnResponse), grpc.ForceCodec(rawCodec{}))
	wantDenied(t, "an operation twice", err)
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, errors.New("not bytes")
	}
	return b, nil
}

func (rawCodec) Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v.(proto.Message)) }

// TestLeasesTellNothing: neither which keys are attached to another's lease, nor can it
// be ended, prolonged or used.
func TestLeasesTellNothing(t *testing.T) {
	r := withMallory(t, nil)
	lease, ctx := pb.NewLeaseClient(r.plain), r.as("mallory")
	_, err := lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true})
	wantDenied(t, "keys of another's lease", err)
	_, err = lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 7})
	wantDenied(t, "revoke another's lease", err)
	_, err = lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	wantDenied(t, "all leases", err)
	wantDenied(t, "attach to another's lease", r.put("mallory", "m/x", "v", 7))
	s, err := lease.LeaseKeepAlive(ctx)
	r.must(err)
	r.must(s.Send(&pb.LeaseKeepAliveRequest{ID: 7}))
	_, err = s.Recv()
	wantDenied(t, "keep another's lease alive", err)

	// What is one's own goes on to work, alone and in a line of writes.
	resp, err := lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 8, Keys: true})
	r.must(err)
	if len(resp.Keys) != 1 || !bytes.Equal(resp.Keys[0], []byte("m/own")) {
		t.Errorf("one's own lease has the keys %q", resp.Keys)
	}
	r.must(r.put("mallory", "m/x", "v", 8))
	_, err = lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 8})
	r.must(err)
	if _, err := lease.LeaseTimeToLive(r.t.Context(), &pb.LeaseTimeToLiveRequest{ID: 8}); !refused(err) {
		t.Errorf("nobody asks for a lease: %v", err)
	}
}

// TestLeaseIsJudgedAsItIsWhenApplied: a key that somebody else attaches at the same time
// counts, or the lease would be a way to delete it.
func TestLeaseIsJudgedAsItIsWhenApplied(t *testing.T) {
	r := withMallory(t, nil)
	lease := pb.NewLeaseClient(r.plain)
	for round := range int64(20) {
		id := 100 + round
		_, err := lease.LeaseGrant(r.as("root"), &pb.LeaseGrantRequest{ID: id, TTL: 3600})
		r.must(err)
		attached := make(chan error, 1)
		go func() { attached <- r.put("root", "secret", "value", id) }()
		_, err = lease.LeaseRevoke(r.as("mallory"), &pb.LeaseRevokeRequest{ID: id})
		put := <-attached
		got, gerr := pb.NewKVClient(r.plain).Range(r.as("root"), &pb.RangeRequest{Key: []byte("secret")})
		r.must(gerr)
		if len(got.Kvs) != 1 {
			t.Fatalf("round %d: the key is gone by the hand of who may not write it (revoke: %v, put: %v)", round, err, put)
		}
	}
}

// TestWatchesShowNoMoreThanReads: for the whole range that they will ever show.
func TestWatchesShowNoMoreThanReads(t *testing.T) {
	r := withMallory(t, nil)
	s, err := pb.NewWatchClient(r.plain).Watch(r.as("mallory"))
	r.must(err)
	create := func(c *pb.WatchCreateRequest) *pb.WatchResponse {
		t.Helper()
		r.must(s.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}}))
		resp, err := s.Recv()
		r.must(err)
		return resp
	}
	const denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
	for name, c := range map[string]*pb.WatchCreateRequest{
		"another's key":              {Key: []byte("secret")},
		"everything":                 {},
		"everything, said otherwise": {Key: []byte{0}, RangeEnd: []byte{0}},
		"from one's own key on":      {Key: []byte("m/own"), RangeEnd: []byte{0}},
		"one key too many":           {Key: []byte("m/"), RangeEnd: []byte("m0\x00")},
		"what may be written":        {Key: []byte("w/secret"), PrevKv: true},
		"history":                    {Key: []byte("secret"), StartRevision: 1},
		"what comes later":           {Key: []byte("secret"), StartRevision: 1 << 40},
		"nothing but deletions":      {Key: []byte("secret"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}},
	} {
		if resp := create(c); !resp.Created || !resp.Canceled || resp.WatchId != -1 || resp.CancelReason != denied {
			t.Errorf("%s: %v", name, resp)
		}
	}
	if resp := create(&pb.WatchCreateRequest{Key: []byte("m/"), RangeEnd: []byte("m0"), PrevKv: true}); resp.Canceled {
		t.Fatalf("one's own keys: %v", resp)
	}
	// Only these are shown, whatever else happens meanwhile.
	r.must(r.put("root", "secret", "v2", 0))
	r.must(r.put("root", "m0", "v2", 0))
	r.must(r.put("root", "m/own", "v2", 0))
	resp, err := s.Recv()
	r.must(err)
	if len(resp.Events) != 1 || string(resp.Events[0].Kv.Key) != "m/own" {
		t.Errorf("shown: %v", resp.Events)
	}
}

// TestStreamedReadsAreJudged: the streamed form of a read is a read.
func TestStreamedReadsAreJudged(t *testing.T) {
	r := withMallory(t, nil)
	for name, req := range map[string]*pb.RangeRequest{
		"a key": {Key: []byte("secret")}, "a count": {Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true},
		"the past": {Key: []byte("secret"), Revision: 2}, "keys": {Key: []byte("s"), RangeEnd: []byte("t"), KeysOnly: true},
	} {
		s, err := pb.NewKVClient(r.plain).RangeStream(r.as("mallory"), req)
		wantDenied(t, name, first(s.Recv, err))
		_, err = pb.NewKVClient(r.plain).Range(r.as("mallory"), req)
		wantDenied(t, name, err)
	}
}

// TestNobodyNamesThemselves: a user's name comes from a token or from the certificate of
// the connection, and from no header.
func TestNobodyNamesThemselves(t *testing.T) {
	r := withMallory(t, nil)
	get := func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("secret")})
		return err
	}
	for _, pairs := range [][]string{
		{"username", "root"}, {"user", "root"}, {"x-remote-user", "root"}, {"x-forwarded-user", "root"}, {"x-forwarded-client-cert", "Subject=\"CN=root\""},
		{"ssl-client-subject-dn", "CN=root"}, {"x-forwarded-for", "127.0.0.1"}, {"forwarded", "for=127.0.0.1"}, {"grpcgateway-accept", "*/*"},
		{"grpcgateway-authorization", "root"}, {"x-client-cert-cn", "root"},
	} {
		if err := get(metadata.AppendToOutgoingContext(t.Context(), pairs...), r.plain); status.Convert(err).Message() != "etcdserver: user name is empty" {
			t.Errorf("%v over plain text: %v", pairs, err)
		}
	}
	for _, pairs := range [][]string{{"token", "root"}, {"token", ""}, {"authorization", "root"}, {"authorization", "Basic cm9vdDpyb290"}} {
		if err := get(metadata.AppendToOutgoingContext(t.Context(), pairs...), r.plain); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v: %v", pairs, err)
		}
	}
	// With a certificate for "certified", who does not exist yet.
	wantDenied(t, "an unknown name", get(t.Context(), r.named))
	r.addRole("c", authpb.Permission_READ, "secret", "")
	r.addUser("certified", "c")
	r.must(get(t.Context(), r.named))
	// A token wins, also over a better certificate.
	wantDenied(t, "mallory's token", get(r.as("mallory"), r.named))
	if err := get(metadata.AppendToOutgoingContext(t.Context(), "token", "x"), r.named); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a bad token beside a certificate: %v", err)
	}
	// What comes through the gateway has the gateway's certificate: it is nobody's name.
	if err := get(metadata.AppendToOutgoingContext(t.Context(), "grpcgateway-accept", "*/*"), r.named); status.Convert(err).Message() != "etcdserver: user name is empty" {
		t.Errorf("through the gateway: %v", err)
	}
	// Both names of the metadata, with and without a word before the token.
	for _, pairs := range [][]string{{"token", r.tokens["root"]}, {"authorization", r.tokens["root"]}, {"authorization", "Bearer " + r.tokens["root"]}} {
		r.must(get(metadata.AppendToOutgoingContext(t.Context(), pairs...), r.plain))
	}
}

// TestWatchRevocation: with the flag, a watch ends with the right to it; without, as in
// etcd, it goes on.
func TestWatchRevocation(t *testing.T) {
	for _, revoke := range []bool{true, false} {
		r := withMallory(t, func(c *member.Config) { c.RevokeWatches = revoke })
		s, err := pb.NewWatchClient(r.plain).Watch(r.as("mallory"))
		r.must(err)
		for _, c := range []*pb.WatchCreateRequest{{Key: []byte("m/a")}, {Key: []byte("m/b"), RangeEnd: []byte("m/c")}} {
			r.must(s.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}}))
			resp, err := s.Recv()
			r.must(err)
			if resp.Canceled {
				t.Fatal(resp)
			}
		}
		r.addRole("narrow", authpb.Permission_READ, "m/a", "")
		auth := pb.NewAuthClient(r.plain)
		_, err = auth.UserGrantRole(r.as("root"), &pb.AuthUserGrantRoleRequest{User: "mallory", Role: "narrow"})
		r.must(err)
		_, err = auth.UserRevokeRole(r.as("root"), &pb.AuthUserRevokeRoleRequest{Name: "mallory", Role: "m"})
		r.must(err)
		if revoke {
			resp, err := s.Recv()
			r.must(err)
			if !resp.Canceled || resp.WatchId != 1 || resp.CancelReason != "rpc error: code = PermissionDenied desc = etcdserver: permission denied" {
				t.Errorf("the watch whose right was lost: %v", resp)
			}
		} else {
			r.must(r.put("root", "m/b", "seen", 0))
		}
		r.must(r.put("root", "m/a", "seen", 0))
		seen := map[string]bool{}
		for len(seen) == 0 || !revoke && len(seen) < 2 {
			resp, err := s.Recv()
			r.must(err)
			for _, e := range resp.Events {
				seen[string(e.Kv.Key)] = true
			}
		}
		if !seen["m/a"] || seen["m/b"] == revoke {
			t.Errorf("revocation %v: seen %v", revoke, seen)
		}
	}
}

// TestTokensThatNeverCome: a token that names an entry far ahead is waited for, but not
// for ever, and not by more than its caller.
func TestTokensThatNeverCome(t *testing.T) {
	r := withMallory(t, nil)
	for token, patience := range map[string]time.Duration{
		"abcdefghijklmnop.18446744073709551615": 2 * time.Second, // too far to be true
		"abcdefghijklmnop.9999":                 15 * time.Second,
	} {
		began := time.Now()
		_, err := pb.NewKVClient(r.plain).Range(r.with(token), &pb.RangeRequest{Key: []byte("k")})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", token, err)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s was waited for %v", token, took)
		}
	}
}
