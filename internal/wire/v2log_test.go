package wire

import (
	"bytes"
	"reflect"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestV2RequestRoundTrip(t *testing.T) {
	yes, no := true, false
	for _, r := range []V2Request{
		{Method: V2Expire, Time: 1 << 60},
		{ID: 7, Method: V2Put, Path: "/1/a", Value: "v\x00\xff", Dir: true, PrevValue: "p", PrevIndex: 1 << 63, PrevExist: &no, Expiration: -5, Time: 9, Refresh: &yes},
		{ID: 1, Method: V2Delete, Path: "/1", Recursive: true, PrevExist: &yes},
		{ID: 2, Method: V2Post}, {ID: 3, Method: V2Read},
	} {
		for name, b := range map[string][]byte{
			"bare":  r.Encode(),
			"entry": r.Entry(),
			"inside": protowire.AppendBytes(protowire.AppendTag(
				protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 5), 2, protowire.BytesType), r.Encode()),
		} {
			got, ok := ParseV2(b)
			if !ok || !reflect.DeepEqual(*got, r) {
				t.Errorf("%s %+v came back as %+v, %t", name, r, got, ok)
			}
		}
	}
}

// TestV2RequestAsEtcdWritesIt holds the bytes of an entry of etcd 3.4.
func TestV2RequestAsEtcdWritesIt(t *testing.T) {
	exists := false
	r := V2Request{ID: 300, Method: V2Put, Path: "/1/a", Value: "b", PrevExist: &exists}
	want := []byte("\x08\xac\x02\x12\x03PUT\x1a\x04/1/a\x22\x01b\x28\x00\x32\x00\x38\x00\x40\x00\x48\x00\x50\x00\x58\x00\x60\x00\x68\x00\x70\x00\x78\x00\x80\x01\x00")
	if got := r.Encode(); !bytes.Equal(got, want) {
		t.Errorf("encoded as\n%x, want\n%x", got, want)
	}
}

// TestV2EntryIsHarmless: etcd finds in an entry of ours a request that changes nothing.
func TestV2EntryIsHarmless(t *testing.T) {
	r := V2Request{ID: 300, Method: V2Put, Path: "/1/a", Value: "b"}
	if want := protowire.AppendTag(nil, 1907, protowire.BytesType); string(want) != treeTag || !bytes.HasPrefix(r.Entry(), want) {
		t.Errorf("an entry begins with %x, want %x", r.Entry()[:4], want)
	}
	seen := new(pb.InternalRaftRequest)
	if err := proto.Unmarshal(r.Entry(), seen); err != nil || len(seen.ProtoReflect().GetUnknown()) == 0 {
		t.Fatalf("%v, %v", seen, err)
	}
	seen.ProtoReflect().SetUnknown(nil)
	if want := (&pb.InternalRaftRequest{ID: 300, LeaseCheckpoint: &pb.LeaseCheckpointRequest{}}); !proto.Equal(seen, want) {
		t.Errorf("it reads as %v, want %v", seen, want)
	}
	if _, ok := SplitRequest(r.Entry()); ok {
		t.Error("it is taken for one request of API v3")
	}
	if seen, ok := DecodeV2(r.Entry()); !ok || seen.GetHeader().GetID() != 300 || seen.LeaseCheckpoint != nil {
		t.Errorf("here it is %v, %v", seen, ok)
	}
}

func TestV3RequestsAreNotV2(t *testing.T) {
	for _, r := range []*pb.InternalRaftRequest{
		{}, {ID: 4}, {Header: &pb.RequestHeader{ID: 9}, Put: &pb.PutRequest{Key: []byte("PUT")}},
		{ID: 4, Range: &pb.RangeRequest{Key: []byte("PUT")}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ParseV2(b); ok {
			t.Errorf("%v was read as %+v", r, got)
		}
	}
}

func TestMarkOurs(t *testing.T) {
	a := &membershippb.Attributes{Name: "n"}
	if MarkedOurs(a) || MarkedOurs(nil) {
		t.Error("marked without a mark")
	}
	MarkOurs(a)
	b, err := proto.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	again := new(membershippb.Attributes)
	if err := proto.Unmarshal(b, again); err != nil || !MarkedOurs(again) || again.Name != "n" {
		t.Errorf("%v after the mark came back as %v, marked %t", err, again, MarkedOurs(again))
	}
}

// FuzzParseV2 wants no panic, and that what was read is read again.
func FuzzParseV2(f *testing.F) {
	f.Add((&V2Request{ID: 1, Method: V2Put, Path: "/1/a", Value: "v", Time: 5}).Encode())
	f.Add((&V2Request{ID: 1, Method: V2Put, Path: "/1/a", Value: "v", Time: 5}).Entry())
	f.Add([]byte{0x12, 0x02, 0x08, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := ParseV2(b)
		if !ok {
			return
		}
		again, ok := ParseV2(r.Encode())
		if valid := r.Method == V2Put || r.Method == V2Post || r.Method == V2Delete || r.Method == V2Read || r.Method == V2Expire; ok != valid {
			t.Fatalf("%+v was read, and then %t", r, ok)
		}
		if ok && !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v came back as %+v", r, again)
		}
	})
}
