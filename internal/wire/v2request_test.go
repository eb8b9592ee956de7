package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// v2Entry is a request of API v2 as etcd 3.4 writes it.
func v2Entry(method, path, value string) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 77)
	for i, text := range []string{method, path, value} {
		b = protowire.AppendString(protowire.AppendTag(b, protowire.Number(i+2), protowire.BytesType), text)
	}
	return protowire.AppendVarint(protowire.AppendTag(b, 5, protowire.VarintType), 0)
}

func TestDecodeV2(t *testing.T) {
	observed, err := hex.DecodeString(strings.ReplaceAll("08 84aac9dbf7bfe8c1f901 1203505554 1a0a2f302f76657273696f6e 2205332e342e30 "+
		"28003200380048005000580060006800700078008001 00", " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	wrapped := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), v2Entry("PUT", "/0/version", "3.5.0"))
	put, err := proto.Marshal(&pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: 3}, Put: &pb.PutRequest{Key: []byte("PUT")}})
	if err != nil {
		t.Fatal(err)
	}
	withID, err := proto.Marshal(&pb.InternalRaftRequest{ID: 3, Put: &pb.PutRequest{Key: []byte("PUT")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		ok   bool
		want string
	}{
		{"observed", observed, true, `cluster_version_set:{ver:"3.4.0"}`},
		{"wrapped", wrapped, true, `cluster_version_set:{ver:"3.5.0"}`},
		{"a member", v2Entry("PUT", "/0/members/8e9e05c52164694d/attributes", `{"name":"m","clientURLs":["http://a:1"]}`), true,
			`cluster_member_attr_set:{member_ID:10276657743932975437 member_attributes:{name:"m" client_urls:"http://a:1"}}`},
		{"a member with noise", v2Entry("PUT", "/0/members/8e9e05c52164694d/attributes", `{`), true, ""},
		{"a user's key", v2Entry("PUT", "/1/x", "y"), true, ""},
		{"a deletion", v2Entry("DELETE", "/0/version", ""), true, ""},
		{"a sync", v2Entry("SYNC", "", ""), true, ""},
		{"another method", v2Entry("FOO", "/0/version", "3.4.0"), false, ""},
		{"a put of API v3", put, false, ""},
		{"a put with an old ID", withID, false, ""},
		{"nothing", nil, false, ""},
		{"noise", []byte{0xff, 0xff}, false, ""},
	} {
		r, ok := DecodeV2(c.data)
		if ok != c.ok {
			t.Errorf("%s: %v", c.name, ok)
			continue
		}
		if !ok {
			continue
		}
		text := strings.ReplaceAll(Describe(r), "  ", " ")
		if c.want == "" && (r.ClusterVersionSet != nil || r.ClusterMemberAttrSet != nil) || !strings.Contains(text, c.want) {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}
