package auth

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func opPut(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func opTxn(r *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
}

func opRange(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func opDelete(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

// needs are those of a request, in words.
func needs(req any) (all []string) {
	err := EachNeed(req, func(n Need) error {
		what := "read"
		if n.Write {
			what = "write"
		}
		if n.Lease != 0 {
			all = append(all, fmt.Sprintf("%s lease %d", what, n.Lease))
		} else {
			all = append(all, fmt.Sprintf("%s %s-%s", what, n.Key, n.End))
		}
		return nil
	})
	if err != nil {
		all = append(all, err.Error())
	}
	return all
}

func TestEachNeed(t *testing.T) {
	k, e := []byte("k"), []byte("e")
	inner := &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("c"), RangeEnd: e}},
		Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("s"), PrevKv: true})},
		Failure: []*pb.RequestOp{opDelete(&pb.DeleteRangeRequest{Key: []byte("f"), RangeEnd: e, PrevKv: true})},
	}
	tests := []struct {
		name string
		req  any
		want []string
	}{
		{"range", &pb.RangeRequest{Key: k, RangeEnd: e, CountOnly: true}, []string{"read k-e"}},
		{"watch", &pb.WatchCreateRequest{Key: k, RangeEnd: e}, []string{"read k-e"}},
		{"put", &pb.PutRequest{Key: k}, []string{"write k-"}},
		{"put that shows the old value", &pb.PutRequest{Key: k, PrevKv: true}, []string{"write k-", "read k-"}},
		{"put with a lease", &pb.PutRequest{Key: k, Lease: 7}, []string{"write k-", "write lease 7"}},
		{"put that keeps value and lease", &pb.PutRequest{Key: k, IgnoreValue: true, IgnoreLease: true}, []string{"write k-"}},
		{"delete", &pb.DeleteRangeRequest{Key: k, RangeEnd: e}, []string{"write k-e"}},
		{"delete that shows the old values", &pb.DeleteRangeRequest{Key: k, RangeEnd: e, PrevKv: true}, []string{"write k-e", "read k-e"}},
		{"revoke", &pb.LeaseRevokeRequest{ID: 7}, []string{"write lease 7"}},
		{"keep alive", &pb.LeaseKeepAliveRequest{ID: 7}, []string{"write lease 7"}},
		{"time to live", &pb.LeaseTimeToLiveRequest{ID: 7}, nil},
		{"time to live with keys", &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true}, []string{"read lease 7"}},
		{"empty transaction", &pb.TxnRequest{}, nil},
		{"both branches, however deep", &pb.TxnRequest{Success: []*pb.RequestOp{opTxn(inner)}, Failure: []*pb.RequestOp{opTxn(&pb.TxnRequest{Failure: []*pb.RequestOp{opTxn(inner)}})}},
			[]string{"read c-e", "write s-", "read s-", "write f-e", "read f-e", "read c-e", "write s-", "read s-", "write f-e", "read f-e"}},
		{"empty operations", &pb.TxnRequest{Success: []*pb.RequestOp{nil, {}, {Request: &pb.RequestOp_RequestPut{}}}}, nil},
		{"grant", &pb.LeaseGrantRequest{ID: 7}, nil},
	}
	for _, test := range tests {
		if got := needs(test.req); !slices.Equal(got, test.want) {
			t.Errorf("%s needs %q, want %q", test.name, got, test.want)
		}
	}
}

func TestCheck(t *testing.T) {
	r := controlled(t, permit("r", read, "a", "c"), permit("r", write, "b", "d"))
	u := Identity{User: "u", Revision: r.Revision}
	old := Identity{User: "u", Revision: r.Revision - 1}
	root := Identity{User: "root", Revision: r.Revision}
	leases := map[int64][]string{1: {"b"}, 2: {"b", "z"}, 3: nil}
	attached := func(id int64, f func([]byte) error) error {
		for _, key := range leases[id] {
			if err := f([]byte(key)); err != nil {
				return err
			}
		}
		return nil
	}
	get := func(key string) any { return &pb.RangeRequest{Key: []byte(key)} }
	tests := []struct {
		name string
		id   Identity
		req  any
		want error
	}{
		{"nobody", Identity{}, get("a"), ErrUserEmpty},
		{"nobody, but needs nothing", Identity{}, &pb.TxnRequest{}, nil},
		{"old", old, get("a"), ErrOldRevision},
		{"old root", Identity{User: "root", Revision: 1}, get("a"), ErrOldRevision},
		{"unknown", Identity{User: "x", Revision: r.Revision}, get("a"), ErrDenied},
		{"read", u, get("a"), nil},
		{"read what may be written", u, get("c"), ErrDenied},
		{"write what may be read", u, &pb.PutRequest{Key: []byte("a")}, ErrDenied},
		{"see the old value", u, &pb.PutRequest{Key: []byte("c"), PrevKv: true}, ErrDenied},
		{"write both", u, &pb.PutRequest{Key: []byte("b"), PrevKv: true}, nil},
		{"a lease with own keys", u, &pb.PutRequest{Key: []byte("b"), Lease: 1}, nil},
		{"a lease with another's key", u, &pb.PutRequest{Key: []byte("b"), Lease: 2}, ErrDenied},
		{"a lease without keys", u, &pb.LeaseRevokeRequest{ID: 3}, nil},
		{"revoke another's", u, &pb.LeaseRevokeRequest{ID: 2}, ErrDenied},
		{"revoke own", u, &pb.LeaseRevokeRequest{ID: 1}, nil},
		{"an old administrator may revoke", Identity{User: "root", Revision: 1}, &pb.LeaseRevokeRequest{ID: 2}, nil},
		{"root", root, &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, PrevKv: true}, nil},
	}
	for _, test := range tests {
		if err := r.Check(test.id, test.req, attached); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		off := *r
		off.Enabled = false
		if err := off.Check(test.id, test.req, attached); err != nil {
			t.Errorf("%s, without access control: %v", test.name, err)
		}
	}
}

// keysWithin are all keys and range ends that stand anywhere in a message, found
// without knowing what they mean.
func keysWithin(m protoreflect.Message, found func(key []byte)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() != nil && f.IsList():
			for i := range v.List().Len() {
				keysWithin(v.List().Get(i).Message(), found)
			}
		case f.Message() != nil:
			keysWithin(v.Message(), found)
		case f.Name() == "key" || f.Name() == "range_end":
			found(v.Bytes())
		}
		return true
	})
}

// FuzzEachNeed: every key that stands anywhere in a transaction is asked about, however
// it is nested, and whoever is refused for one of them is refused the whole.
func FuzzEachNeed(f *testing.F) {
	add := func(r *pb.TxnRequest) {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	leaf := &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("c")}}, Success: []*pb.RequestOp{
		opPut(&pb.PutRequest{Key: []byte("p"), PrevKv: true, Lease: 5}), opRange(&pb.RangeRequest{Key: []byte("r"), RangeEnd: []byte("s")})}}
	add(leaf)
	add(&pb.TxnRequest{Failure: []*pb.RequestOp{opTxn(leaf), opDelete(&pb.DeleteRangeRequest{Key: []byte("d"), PrevKv: true}), opTxn(leaf)}})
	add(&pb.TxnRequest{Success: []*pb.RequestOp{opTxn(&pb.TxnRequest{Success: []*pb.RequestOp{opTxn(leaf)}})}})
	f.Fuzz(func(t *testing.T, b []byte) {
		req := new(pb.TxnRequest)
		if proto.Unmarshal(b, req) != nil {
			return
		}
		asked := map[string]bool{}
		count := 0
		if err := EachNeed(req, func(n Need) error {
			count++
			asked[string(n.Key)], asked[string(n.End)] = true, true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		keysWithin(req.ProtoReflect(), func(key []byte) {
			if !asked[string(key)] {
				t.Fatalf("nobody asks about %q in %v", key, req)
			}
		})
		for stop := range min(count, 50) {
			n := 0
			err := EachNeed(req, func(Need) error {
				if n++; n > stop {
					return ErrDenied
				}
				return nil
			})
			if !errors.Is(err, ErrDenied) || n != stop+1 {
				t.Fatalf("refused at %d of %d, it went on to %d: %v", stop, count, n, err)
			}
		}
	})
}

// FuzzTokenIndex: what is taken for a token has etcd's form.
func FuzzTokenIndex(f *testing.F) {
	for _, s := range []string{"cMZMPFIEJKjJDUiW.68", ".", "cMZMPFIEJKjJDUiW.", "cMZMPFIEJKjJDUiW.-1", "cMZMPFIEJKjJDUiW.18446744073709551616", "a.b.c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := TokenIndex(string(b))
		parts := bytes.Split(b, []byte("."))
		if ok && (len(parts) != 2 || len(parts[0]) != tokenLength) {
			t.Fatalf("%q is taken for a token of entry %d", b, n)
		}
	})
}

// BenchmarkCheck is what a put and a get cost of a user with many permissions.
func BenchmarkCheck(b *testing.B) {
	role := &authpb.Role{Name: []byte("r")}
	for i := range 1000 {
		role.KeyPermission = append(role.KeyPermission, &authpb.Permission{PermType: readWrite,
			Key: fmt.Appendf(nil, "%04d/", i), RangeEnd: fmt.Appendf(nil, "%04d0", i)})
	}
	r := NewRules(true, 7, []*authpb.User{{Name: []byte("u"), Roles: []string{"r"}}}, []*authpb.Role{role})
	id := Identity{User: "u", Revision: 7}
	for name, req := range map[string]any{"Put": &pb.PutRequest{Key: []byte("0500/key")}, "Range": &pb.RangeRequest{Key: []byte("0500/a"), RangeEnd: []byte("0500/b")}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Check(id, req, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
