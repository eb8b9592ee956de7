package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/encoding/protowire"
)

// v2Methods are the methods of v2 requests in a log.
var v2Methods = []string{"PUT", "POST", "DELETE", "QGET", "SYNC"}

// DecodeV2 reads an entry that is a request of API v2: of ours, or of etcd up to 3.5. Those releases had members publish themselves, and the
// cluster version, in that form: such a request is returned as what it is called now.
// Anything else of API v2 has no effect on what API v3 shows, and comes as an empty
// request. ok is false for an entry that is no request of API v2.
func DecodeV2(b []byte) (r *pb.InternalRaftRequest, ok bool) {
	if bare := tree(b); bare != nil {
		b = bare
	}
	method, path, value, id, ok := v2Fields(b)
	if !ok {
		return nil, false
	}
	r = &pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: id}}
	if method != "PUT" || !strings.HasPrefix(path, V2Members) {
		return r, true
	}
	if path == "/0/version" {
		r.ClusterVersionSet = &membershippb.ClusterVersionSetRequest{Ver: value}
		return r, true
	}
	inside, found := strings.CutPrefix(path, "/0/members/")
	hexID, attributes := strings.CutSuffix(inside, "/attributes")
	member, err := strconv.ParseUint(hexID, 16, 64)
	var a struct {
		Name       string   `json:"name"`
		ClientURLs []string `json:"clientURLs"`
	}
	if found && attributes && err == nil && json.Unmarshal([]byte(value), &a) == nil {
		r.ClusterMemberAttrSet = &membershippb.ClusterMemberAttrSetRequest{
			Member_ID: member, MemberAttributes: &membershippb.Attributes{Name: a.Name, ClientUrls: a.ClientURLs},
		}
	}
	return r, true
}

// v2Fields reads a request of API v2.
func v2Fields(b []byte) (method, path, value string, id uint64, ok bool) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", "", "", 0, false
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return "", "", "", 0, false
		}
		field := b[n : n+m]
		b = b[n+m:]
		if typ == protowire.VarintType && num == 1 {
			id, _ = protowire.ConsumeVarint(field)
		}
		if typ != protowire.BytesType {
			continue
		}
		text, _ := protowire.ConsumeBytes(field)
		switch num {
		case 2:
			if method = string(text); !slices.Contains(v2Methods, method) {
				// It may be a request inside a request, whose second field again is the method.
				if len(text) > 0 && text[0] == 1<<3 {
					return v2Fields(text)
				}
				return "", "", "", 0, false
			}
		case 3:
			path = string(text)
		case 4:
			value = string(text)
		}
	}
	return method, path, value, id, method != ""
}
