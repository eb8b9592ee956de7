package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"bowline/internal/testkit"
)

// The tests of this file are about the player: it must see every difference.

// TestComparisonSeesEveryChange changes every value of every recorded result, one
// at a time, and leaves every field out once.
func TestComparisonSeesEveryChange(t *testing.T) {
	changes := 0
	for _, dir := range directories {
		scenarios, err := loadDirectory(dir.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, sc := range scenarios {
			for i, s := range sc.Steps {
				if !s.answered() {
					continue
				}
				recorded, err := decode(s.Expect)
				if err != nil {
					t.Fatalf("%s, step %d: %v", sc.Name, i+1, err)
				}
				if wrong := s.compare(recorded.(object)); len(wrong) > 0 {
					t.Fatalf("%s, step %d: not even equal to itself: %s", sc.Name, i+1, wrong)
				}
				eachChange("", recorded, func(path string) {
					if slices.Contains(s.Ignore, path) {
						return
					}
					changes++
					if wrong := s.compare(recorded.(object)); len(wrong) == 0 {
						t.Errorf("%s, step %d: a change of %s is not seen", sc.Name, i+1, path)
					}
				})
			}
		}
	}
	if changes < 10000 {
		t.Errorf("only %d changes were tried", changes)
	}
}

// eachChange calls f with one part of value changed at a time.
func eachChange(path string, value any, f func(path string)) {
	change := func(path string, old any, set func(any)) {
		switch v := old.(type) {
		case string:
			set(v + "x")
		case json.Number:
			set(json.Number(v.String() + "1"))
		case bool:
			set(!v)
		default:
			eachChange(path, old, f)
			set("something else")
		}
		f(path)
		set(old)
	}
	switch v := value.(type) {
	case object:
		for _, name := range sortedNames(v) {
			at := strings.TrimPrefix(path+"."+name, ".")
			old := v[name]
			change(at, old, func(to any) { v[name] = to })
			delete(v, name)
			f(at)
			v[name] = old
		}
	case []any:
		for i, old := range v {
			change(fmt.Sprintf("%s.%d", path, i), old, func(to any) { v[i] = to })
		}
	}
}

// TestPlayerSeesAWrongAnswer plays a scenario against a server with wrong
// expectations: that very step must fail, and no other.
func TestPlayerSeesAWrongAnswer(t *testing.T) {
	scenarios, err := loadDirectory("kv")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(scenarios, func(sc *scenario) bool { return sc.Name == "kv/put-get" })
	sc := scenarios[i]
	const wrong = 4
	sc.Steps[wrong-1].Expect = json.RawMessage(`{"response": {"header": "rev 99"}}`)

	var ports testkit.Ports
	member, err := testkit.StartServer(server.Path(t), t.TempDir(), &ports)
	if err != nil {
		t.Fatal(err)
	}
	defer member.Kill()
	p, err := newPlayer([]*testkit.Server{member})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	passed, failures := p.play(sc)
	if want := sc.answered() - 1; passed != want {
		t.Errorf("%d steps passed, want %d", passed, want)
	}
	if len(failures) != 1 || !strings.HasPrefix(failures[0], fmt.Sprintf("step %d: ", wrong)) {
		t.Errorf("want a failure of step %d alone, got %q", wrong, failures)
	}
}

// TestRenderLeavesNothingOut renders answers that differ in one field each.
func TestRenderLeavesNothingOut(t *testing.T) {
	n := newNames()
	n.bind("cluster", "11111111111111111111")
	n.bind("member", "2222222222222222222")
	header := func(change func(*etcdserverpb.ResponseHeader)) proto.Message {
		h := &etcdserverpb.ResponseHeader{ClusterId: 11111111111111111111, MemberId: 2222222222222222222, Revision: 7, RaftTerm: 2}
		change(h)
		return h
	}
	strange := header(func(*etcdserverpb.ResponseHeader) {})
	strange.ProtoReflect().SetUnknown([]byte{0xf8, 0x01, 0x01})
	for _, c := range []struct {
		message proto.Message
		want    string
	}{
		{header(func(*etcdserverpb.ResponseHeader) {}), `"rev 7"`},
		{header(func(h *etcdserverpb.ResponseHeader) { h.Revision = 0 }), `"rev 0"`},
		{header(func(h *etcdserverpb.ResponseHeader) { h.MemberId++ }),
			`{"cluster_id": "$cluster", "member_id": 2222222222222222223, "raft_term": "$term", "revision": 7}`},
		{header(func(h *etcdserverpb.ResponseHeader) { h.RaftTerm = 0 }),
			`{"cluster_id": "$cluster", "member_id": "$member", "revision": 7}`},
		{header(func(h *etcdserverpb.ResponseHeader) { h.ClusterId = 2222222222222222222 }),
			`{"cluster_id": 2222222222222222222, "member_id": "$member", "raft_term": "$term", "revision": 7}`},
		{&mvccpb.KeyValue{Key: []byte{0xff}, Value: make([]byte, longestValue+1)},
			`{"key": "base64:/w==", "value": "sha256:8ae7498b01f40e9d2a04df8a8a91cc0b180eb9eb64b78129f59a6d6ab547816b of 513 bytes"}`},
		{&mvccpb.Event{}, `{"type": "PUT"}`},
		{&mvccpb.Event{Type: 7}, `{"type": 7}`},
		{&etcdserverpb.LeaseTimeToLiveResponse{Keys: [][]byte{[]byte("b"), []byte("a")}}, `{"TTL": "~0", "keys": ["a", "b"]}`},
		{&etcdserverpb.LeaseTimeToLiveResponse{TTL: -1}, `{"TTL": -1}`},
		{&etcdserverpb.HashResponse{}, `{}`},
	} {
		if got := textOf(n.render(c.message.ProtoReflect())); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if got := textOf(n.render(strange.ProtoReflect())); !strings.Contains(got, "does not have") {
		t.Errorf("a field that the API does not have is not seen: %s", got)
	}
}

// TestJudgesSeeBrokenRules gives the judges streams that break one rule each.
func TestJudgesSeeBrokenRules(t *testing.T) {
	event := func(revision int64) *mvccpb.Event {
		return &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: revision}}
	}
	response := func(header int64, events ...*mvccpb.Event) *etcdserverpb.WatchResponse {
		return &etcdserverpb.WatchResponse{Header: &etcdserverpb.ResponseHeader{Revision: header}, Events: events}
	}
	fragment := func(r *etcdserverpb.WatchResponse) *etcdserverpb.WatchResponse { r.Fragment = true; return r }
	created := response(2, event(2))
	created.Created = true
	for name, c := range map[string]struct {
		responses []proto.Message
		broken    string
	}{
		"in order":            {[]proto.Message{response(3, event(2)), response(3, event(3))}, ""},
		"a fragment":          {[]proto.Message{fragment(response(2, event(2))), response(2, event(2))}, ""},
		"a revision is split": {[]proto.Message{response(2, event(2)), response(2, event(2))}, "split"},
		"backwards":           {[]proto.Message{response(3, event(3)), response(3, event(2))}, "2 after 3"},
		"backwards in one":    {[]proto.Message{response(3, event(3), event(2))}, "2 after 3"},
		"ahead of the header": {[]proto.Message{response(2, event(3))}, "under a header"},
		"no end":              {[]proto.Message{fragment(response(2, event(2)))}, "ends with a fragment"},
		"control with events": {[]proto.Message{created}, "control response"},
	} {
		out := object{}
		newNames().judgeWatch(c.responses, out)
		checkBroken(t, name, out, c.broken)
	}

	chunk := func(r *etcdserverpb.RangeResponse) proto.Message {
		return &etcdserverpb.RangeStreamResponse{RangeResponse: r}
	}
	kvs := []*mvccpb.KeyValue{{Key: []byte("k")}}
	end := chunk(&etcdserverpb.RangeResponse{Header: &etcdserverpb.ResponseHeader{Revision: 2}, Count: 1})
	for name, c := range map[string]struct {
		chunks []proto.Message
		broken string
	}{
		"whole":       {[]proto.Message{chunk(&etcdserverpb.RangeResponse{Kvs: kvs}), end}, ""},
		"early count": {[]proto.Message{chunk(&etcdserverpb.RangeResponse{Kvs: kvs, Count: 1}), end}, "before the last"},
		"empty chunk": {[]proto.Message{chunk(&etcdserverpb.RangeResponse{}), end}, "empty chunk"},
	} {
		out := object{}
		newNames().judgeRange(c.chunks).result(out)
		checkBroken(t, name, out, c.broken)
	}

	blob := &etcdserverpb.SnapshotResponse{Blob: []byte("data"), Version: "3.7.1"}
	wrongSum := &etcdserverpb.SnapshotResponse{Blob: []byte("sum"), Version: "3.7.1"}
	out := object{}
	judgeSnapshot([]proto.Message{blob, wrongSum}).result(out)
	checkBroken(t, "a wrong sum", out, "SHA-256")
}

func checkBroken(t *testing.T, name string, out object, want string) {
	t.Helper()
	broken, _ := out["bad"].([]any)
	if want == "" && len(broken) == 0 {
		return
	}
	if len(broken) != 1 || want == "" || !strings.Contains(fmt.Sprint(broken...), want) {
		t.Errorf("%s: broken are %q, want one about %q", name, broken, want)
	}
}
