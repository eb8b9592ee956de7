package peers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"bowline/internal/cluster"
	"bowline/internal/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// fake answers what it is told to.
type fake struct {
	members []cluster.Member
	hash    HashKV
	tree    v2.Hash
	ttl     int64
	left    *pb.LeaseTimeToLiveResponse
	err     error
}

func (f *fake) Members() []cluster.Member { return f.members }
func (f *fake) Promote(context.Context, uint64) ([]cluster.Member, error) {
	return f.members, f.err
}
func (f *fake) HashKV(context.Context, int64) (HashKV, error) { return f.hash, f.err }
func (f *fake) TreeHash(_ context.Context, index uint64) (v2.Hash, error) {
	return v2.Hash{Index: min(index, f.tree.Index), Sum: f.tree.Sum}, f.err
}
func (f *fake) RenewLease(context.Context, int64) (int64, error) { return f.ttl, f.err }
func (f *fake) DowngradeEnabled(context.Context) (bool, error)   { return true, f.err }
func (f *fake) LeaseTimeToLive(context.Context, *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	return f.left, f.err
}

const testCluster = 0xabc

func serve(t *testing.T, f *fake) (*Client, []string) {
	t.Helper()
	mux := http.NewServeMux()
	(&Handler{API: f, ClusterID: testCluster}).Register(mux)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return &Client{HTTP: s.Client(), ClusterID: testCluster}, []string{s.URL}
}

func TestMembersAreTold(t *testing.T) {
	want := []cluster.Member{{ID: 1, PeerURLs: []string{"http://a"}, Name: "a"}, {ID: 2, PeerURLs: []string{"http://b"}, IsLearner: true}}
	c, urls := serve(t, &fake{members: want})
	id, got, err := c.Members(t.Context(), append([]string{"http://127.0.0.1:1"}, urls...)) // the first one is dead
	if err != nil || id != testCluster || !reflect.DeepEqual(got, want) {
		t.Errorf("%x %v %v", id, got, err)
	}
	if _, _, err := c.Members(t.Context(), nil); err == nil {
		t.Error("a member without URLs has answered")
	}
	c, urls = serve(t, &fake{})
	if _, _, err := c.Members(t.Context(), urls); err == nil || !strings.Contains(err.Error(), "knows no members") {
		t.Errorf("an empty list is taken: %v", err)
	}
}

// TestErrorsArriveAsWhatTheyAre: each refusal has its place in a status and a text.
func TestErrorsArriveAsWhatTheyAre(t *testing.T) {
	renew := func(c *Client, urls []string) error {
		_, err := c.RenewLease(t.Context(), urls, 7)
		return err
	}
	left := func(c *Client, urls []string) error {
		_, err := c.LeaseTimeToLive(t.Context(), urls, &pb.LeaseTimeToLiveRequest{ID: 7})
		return err
	}
	promote := func(c *Client, urls []string) error { return c.Promote(t.Context(), urls, 7, "") }
	for name, row := range map[string]struct {
		ask  func(*Client, []string) error
		errs []error
	}{
		"renewal": {renew, []error{ErrLeaseNotFound, ErrNotPrimary, ErrBehind}},
		"left":    {left, []error{ErrLeaseNotFound, ErrNotPrimary, ErrBehind}},
		"promote": {promote, []error{ErrMemberNotFound, ErrNotLearner, ErrNotReady}},
	} {
		for _, want := range row.errs {
			c, urls := serve(t, &fake{err: want})
			if err := row.ask(c, urls); !errors.Is(err, want) {
				t.Errorf("%s: %v arrived as %v", name, want, err)
			}
		}
		c, urls := serve(t, &fake{err: errors.New("disk on fire")})
		if err := row.ask(c, urls); err == nil || !strings.Contains(err.Error(), "500") {
			t.Errorf("%s: a failure arrived as %v", name, err)
		}
	}
	c, urls := serve(t, &fake{err: &HashRefusal{"etcdserver: mvcc: required revision has been compacted"}})
	var refusal *HashRefusal
	if _, err := c.HashKV(t.Context(), urls, 3); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "compacted") {
		t.Errorf("a refused hash arrived as %v", err)
	}
	c.ClusterID++
	if _, err := c.HashKV(t.Context(), urls, 3); !errors.Is(err, ErrWrongCluster) {
		t.Errorf("another cluster's hash arrived as %v", err)
	}
}

func TestAnswers(t *testing.T) {
	f := &fake{ttl: 60, left: &pb.LeaseTimeToLiveResponse{ID: 7, TTL: 50, GrantedTTL: 60, Keys: [][]byte{[]byte("k")}}}
	f.hash = HashKV{Hash: 2804068566, CompactRevision: -1, HashRevision: 5}
	f.hash.Header.Revision = 5
	c, urls := serve(t, f)
	if ttl, err := c.RenewLease(t.Context(), urls, 7); err != nil || ttl != 60 {
		t.Errorf("renewal: %d %v", ttl, err)
	}
	if got, err := c.LeaseTimeToLive(t.Context(), urls, &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true}); err != nil || !proto.Equal(got, f.left) {
		t.Errorf("left: %v %v", got, err)
	}
	if got, err := c.HashKV(t.Context(), urls, 0); err != nil || got != f.hash {
		t.Errorf("hash: %+v %v", got, err)
	}
	if on, err := c.DowngradeEnabled(t.Context(), urls); err != nil || !on {
		t.Errorf("downgrade: %v %v", on, err)
	}
}

// TestFormsAreEtcds compares what is on the wire with what etcd puts there.
func TestFormsAreEtcds(t *testing.T) {
	f := &fake{members: []cluster.Member{{ID: 1, PeerURLs: []string{"http://a"}, Name: "a", ClientURLs: []string{"http://c"}}}}
	f.hash = HashKV{Hash: 2804068566, CompactRevision: -1, HashRevision: 5}
	f.hash.Header.Revision = 5
	_, urls := serve(t, f)
	for _, row := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/members", "", 200, `[{"id":1,"peerURLs":["http://a"],"name":"a","clientURLs":["http://c"]}]` + "\n"},
		{"GET", "/members/hashkv", `{"revision":5}`, 200, `{"header":{"revision":5},"hash":2804068566,"compact_revision":-1,"hash_revision":5}`},
		{"GET", "/members/hashkv", "", 400, "error unmarshalling request\n"},
		{"POST", "/members", "", 405, "Method Not Allowed\n"},
		{"POST", "/members/promote/x", "", 404, "member x not found in cluster\n"},
		{"POST", "/leases", "\xff", 400, "error unmarshalling request\n"},
		{"POST", "/leases/internal", "", 400, "error unmarshalling request\n"},
		{"POST", "/leases", strings.Repeat("x", MaxQuestionBytes+1), 413, "request body is too large\n"},
		{"GET", "/downgrade/enabled", "", 200, "true"},
		{"GET", "/members/", "", 404, "404 page not found\n"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), row.method, urls[0]+row.path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != row.code || string(got) != row.want {
			t.Errorf("%s %s: %d %q, want %d %q", row.method, row.path, resp.StatusCode, got, row.code, row.want)
		}
	}
}

// FuzzUnwrap: whatever comes is read, or refused, and what was wrapped comes out.
func FuzzUnwrap(f *testing.F) {
	f.Add([]byte{})
	f.Add(wrap([]byte("inner")))
	f.Add([]byte{0x12, 0x01, 0x00, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = unwrap(b)
		if inner, err := unwrap(wrap(b)); err != nil || !bytes.Equal(inner, b) {
			t.Errorf("%x came out as %x, %v", b, inner, err)
		}
	})
}

func TestTreeHash(t *testing.T) {
	f := &fake{tree: v2.Hash{Index: 7, Sum: 1<<64 - 1}}
	c, urls := serve(t, f)
	for index, want := range map[uint64]uint64{3: 3, 9: 7} {
		if h, err := c.TreeHash(t.Context(), urls, index); err != nil || h.Index != want || h.Sum != f.tree.Sum {
			t.Errorf("at %d: %v, %v", index, h, err)
		}
	}
	f.err = errors.New("no disk")
	if _, err := c.TreeHash(t.Context(), urls, 3); err == nil || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("got %v", err)
	}
	c.ClusterID++
	if _, err := c.TreeHash(t.Context(), urls, 3); !errors.Is(err, ErrWrongCluster) {
		t.Errorf("got %v", err)
	}
}
