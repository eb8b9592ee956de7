package wire

import (
	"bytes"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// What is read by hand must be what the generic decoder reads, wherever the hand
// accepts. It may accept less.

func mustMarshal(f *testing.F, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func FuzzKeyValue(f *testing.F) {
	f.Add(mustMarshal(f, &mvccpb.KeyValue{Key: []byte("k"), CreateRevision: 2, ModRevision: 300, Version: 2, Value: []byte("v"), Lease: -7}))
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x80})
	f.Add([]byte{0x0a, 0, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x7b, 0x7c})
	f.Fuzz(func(t *testing.T, b []byte) {
		kv, err := ParseKeyValue(b)
		if err != nil {
			return
		}
		generic := new(mvccpb.KeyValue)
		if err := proto.Unmarshal(b, generic); err != nil {
			t.Fatalf("%x is accepted, but %v", b, err)
		}
		mine := &mvccpb.KeyValue{Key: kv.Key, CreateRevision: kv.Create, ModRevision: kv.Mod, Version: kv.Version, Value: kv.Value, Lease: kv.Lease}
		generic.ProtoReflect().SetUnknown(nil)
		if !proto.Equal(mine, generic) {
			t.Fatalf("%x is %v, want %v", b, mine, generic)
		}
		raw, err := proto.Marshal(mine)
		if err != nil {
			t.Fatal(err)
		}
		if again := kv.Append(nil); !bytes.Equal(again, raw) || len(raw) != kv.Size() {
			t.Fatalf("%v is encoded as %x (%d), want %x", mine, again, kv.Size(), raw)
		}
		// Of what we have written ourselves parts are cut without decoding.
		if len(kv.Key) > 0 && !bytes.Equal(KeyOf(raw), kv.Key) {
			t.Fatalf("key of %x: %q", raw, KeyOf(raw))
		}
		kv.Value, kv.Lease = nil, 0
		if short := WithoutValueAndLease(raw); !bytes.Equal(short, kv.Append(nil)) {
			t.Fatalf("%x without value and lease: %x", raw, short)
		}
		_, _ = KeyOf(b), WithoutValueAndLease(b)
	})
}

// sameAs compares a message decoded by hand from b with the generic decoder's.
func sameAs(t *testing.T, b []byte, got proto.Message, err error) {
	t.Helper()
	want := got.ProtoReflect().New().Interface()
	if wantErr := proto.Unmarshal(b, want); (err == nil) != (wantErr == nil) {
		t.Fatalf("%x: %v, want %v", b, err, wantErr)
	}
	if err == nil && !proto.Equal(got, want) {
		t.Fatalf("%x is %v, want %v", b, got, want)
	}
}

func FuzzDecodePut(f *testing.F) {
	f.Add(mustMarshal(f, &pb.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: 1, PrevKv: true}))
	f.Add(mustMarshal(f, &pb.PutRequest{Key: []byte("k"), IgnoreValue: true, IgnoreLease: true}))
	f.Add([]byte{0x0a, 1, 'a', 0x0a, 1, 'b', 0x18, 0x80, 0x00, 0x20, 0x02, 0x3a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &pb.PutRequest{Key: []byte("left over"), Lease: 5, IgnoreLease: true}
		err := DecodePut(b, r)
		sameAs(t, b, r, err)
	})
}

func FuzzDecodeRange(f *testing.F) {
	f.Add(mustMarshal(f, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Limit: 3, Revision: -1, KeysOnly: true, CountOnly: true}))
	f.Add(mustMarshal(f, &pb.RangeRequest{Key: []byte("k"), SortOrder: pb.RangeRequest_DESCEND, MaxCreateRevision: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &pb.RangeRequest{Key: []byte("left over"), Limit: 5, Serializable: true}
		err := DecodeRange(b, r)
		sameAs(t, b, r, err)
	})
}

// FuzzSplitRequest: what is taken out of an entry of the log by hand, and decoded,
// must be the entry's request. Every member of a cluster must agree on that.
func FuzzSplitRequest(f *testing.F) {
	f.Add(mustMarshal(f, &pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: 7}, Put: &pb.PutRequest{Key: []byte("k")}}))
	f.Add(mustMarshal(f, &pb.InternalRaftRequest{ID: 7, Put: &pb.PutRequest{Key: []byte("k")}}))
	f.Add(mustMarshal(f, &pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: 7, Username: "u", AuthRevision: 9}, Put: &pb.PutRequest{Key: []byte("k")}}))
	f.Add(mustMarshal(f, &pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: 7}, DeleteRange: &pb.DeleteRangeRequest{Key: []byte("k")}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := SplitRequest(b)
		if !ok {
			return
		}
		const fieldPut = 4
		put := new(pb.PutRequest)
		if p.Field != fieldPut || DecodePut(p.Request, put) != nil {
			return
		}
		want := new(pb.InternalRaftRequest)
		if err := proto.Unmarshal(b, want); err != nil {
			t.Fatalf("%x is accepted, but %v", b, err)
		}
		if p.ID != want.GetHeader().GetID() || want.ID != 0 {
			t.Fatalf("%x has ID %d, want %d or %d", b, p.ID, want.ID, want.GetHeader().GetID())
		}
		if string(p.User) != want.GetHeader().GetUsername() || p.AuthRevision != want.GetHeader().GetAuthRevision() {
			t.Fatalf("%x is of user %q at %d, want %v", b, p.User, p.AuthRevision, want.GetHeader())
		}
		if !proto.Equal(put, want.Put) {
			t.Fatalf("%x holds %v, want %v", b, put, want.Put)
		}
	})
}
