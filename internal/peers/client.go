package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"bowline/internal/cluster"
	"bowline/internal/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Paths on the peer port, etcd's.
const (
	pathMembers       = "/members"
	pathPromote       = "/members/promote/"
	pathHashKV        = "/members/hashkv"
	pathLeases        = "/leases"
	pathLeasesDetails = "/leases/internal"
	pathVersion       = "/version"
	pathDowngrade     = "/downgrade/enabled"

	// pathTreeHash is ours alone.
	pathTreeHash = "/bowline/v2/hash"

	headerClusterID = "X-Etcd-Cluster-ID"

	// maxAnswerBytes bounds what is read of an answer. The largest is the list of
	// the keys of a lease.
	maxAnswerBytes = 64 << 20
)

// Errors that a member answered with. Others are failures to ask.
var (
	ErrLeaseNotFound = errors.New("lease not found")
	// ErrNotPrimary tells that the member asked does not lead.
	ErrNotPrimary = errors.New("not a primary lessor")
	// ErrBehind tells that the member asked had to catch up for too long.
	ErrBehind = errors.New("waiting for node to catch up its applied index has timed out")
	// ErrMemberNotFound, ErrNotLearner and ErrNotReady are why a member is not promoted.
	ErrMemberNotFound = errors.New("membership: ID not found")
	ErrNotLearner     = errors.New("membership: can only promote a learner member")
	ErrNotReady       = errors.New("etcdserver: can only promote a learner member which is in sync with leader")
	// ErrWrongCluster tells that the member asked belongs to another cluster.
	ErrWrongCluster = errors.New("cluster ID mismatch")
)

// Client asks other members. HTTP follows no redirects and has a dial timeout.
type Client struct {
	HTTP      *http.Client
	ClusterID uint64
}

// answer is what a member has answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) text() string { return strings.TrimSpace(string(a.body)) }

// unexpected is the error of an answer that fits nothing.
func (a *answer) unexpected(url string) error {
	const most = 200
	text := a.text()
	if len(text) > most {
		text = text[:most]
	}
	return fmt.Errorf("%s answered %d %s", url, a.status, text)
}

func (c *Client) ask(ctx context.Context, method, url, kind string, body []byte, header http.Header) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(data) > maxAnswerBytes {
		return nil, fmt.Errorf("%s: an answer of more than %d bytes", url, maxAnswerBytes)
	}
	return &answer{resp.StatusCode, resp.Header, data}, nil
}

// each asks one URL after the other until use is satisfied with an answer; it
// returns the last error if none was.
func (c *Client) each(ctx context.Context, urls []string, ask func(url string) (*answer, error), use func(url string, a *answer) error) error {
	last := errors.New("the member has no peer URLs")
	for _, base := range urls {
		if ctx.Err() != nil {
			return errors.Join(last, ctx.Err())
		}
		a, err := ask(strings.TrimSuffix(base, "/"))
		if err == nil {
			err = use(base, a)
		}
		if err == nil {
			return nil
		}
		last = err
	}
	return last
}

func (c *Client) get(ctx context.Context, urls []string, path string, use func(url string, a *answer) error) error {
	return c.each(ctx, urls, func(base string) (*answer, error) {
		return c.ask(ctx, http.MethodGet, base+path, "", nil, nil)
	}, use)
}

// Members asks for the cluster's ID and members; the first usable answer wins.
func (c *Client) Members(ctx context.Context, urls []string) (clusterID uint64, members []cluster.Member, err error) {
	err = c.get(ctx, urls, pathMembers, func(url string, a *answer) error {
		if a.status != http.StatusOK {
			return a.unexpected(url)
		}
		id, err := strconv.ParseUint(a.header.Get(headerClusterID), 16, 64)
		if err != nil {
			return fmt.Errorf("%s does not say which cluster it belongs to: %w", url, err)
		}
		var list []cluster.Member
		if err := json.Unmarshal(a.body, &list); err != nil {
			return fmt.Errorf("%s: read the member list: %w", url, err)
		}
		if len(list) == 0 {
			return fmt.Errorf("%s knows no members", url)
		}
		clusterID, members = id, list
		return nil
	})
	return clusterID, members, err
}

// Versions is what a member says of itself on /version.
type Versions struct {
	Server  string `json:"etcdserver"`
	Cluster string `json:"etcdcluster"`
	Storage string `json:"storage"`
}

// Version asks a member which version it runs.
func (c *Client) Version(ctx context.Context, urls []string) (v Versions, err error) {
	err = c.get(ctx, urls, pathVersion, func(url string, a *answer) error {
		if a.status != http.StatusOK {
			return a.unexpected(url)
		}
		return json.Unmarshal(a.body, &v)
	})
	return v, err
}

// DowngradeEnabled asks whether the cluster's version is being lowered.
func (c *Client) DowngradeEnabled(ctx context.Context, urls []string) (enabled bool, err error) {
	err = c.get(ctx, urls, pathDowngrade, func(url string, a *answer) error {
		if a.status != http.StatusOK {
			return a.unexpected(url)
		}
		enabled, err = strconv.ParseBool(a.text())
		return err
	})
	return enabled, err
}

// HashKV is a member's hash of the key space, and HashError what its refusal says.
type HashKV struct {
	Header struct {
		ClusterID uint64 `json:"cluster_id,omitempty"`
		MemberID  uint64 `json:"member_id,omitempty"`
		Revision  int64  `json:"revision,omitempty"`
		RaftTerm  uint64 `json:"raft_term,omitempty"`
	} `json:"header"`
	Hash            uint32 `json:"hash,omitempty"`
	CompactRevision int64  `json:"compact_revision,omitempty"`
	HashRevision    int64  `json:"hash_revision,omitempty"`
}

// HashRefusal is a member's reason to give no hash: a revision compacted or not yet there.
type HashRefusal struct{ Text string }

func (e *HashRefusal) Error() string { return e.Text }

// HashKV asks for the hash of the key space at a revision, 0 meaning now.
func (c *Client) HashKV(ctx context.Context, urls []string, revision int64) (h HashKV, err error) {
	body, err := json.Marshal(hashRequest{Revision: revision})
	if err != nil {
		return h, err
	}
	header := http.Header{headerClusterID: {strconv.FormatUint(c.ClusterID, 16)}}
	err = c.each(ctx, urls, func(base string) (*answer, error) {
		return c.ask(ctx, http.MethodGet, base+pathHashKV, "application/json", body, header)
	}, func(url string, a *answer) error {
		switch a.status {
		case http.StatusOK:
			return json.Unmarshal(a.body, &h)
		case http.StatusBadRequest:
			return &HashRefusal{a.text()}
		case http.StatusPreconditionFailed:
			return ErrWrongCluster
		}
		return a.unexpected(url)
	})
	return h, err
}

// TreeHash asks for the hash of the tree of API v2, at an index or at what is there. A
// member that is etcd has none.
func (c *Client) TreeHash(ctx context.Context, urls []string, index uint64) (h v2.Hash, err error) {
	header := http.Header{headerClusterID: {strconv.FormatUint(c.ClusterID, 16)}}
	err = c.each(ctx, urls, func(base string) (*answer, error) {
		return c.ask(ctx, http.MethodGet, base+pathTreeHash+"?index="+strconv.FormatUint(index, 10), "", nil, header)
	}, func(url string, a *answer) error {
		switch a.status {
		case http.StatusOK:
			return json.Unmarshal(a.body, &h)
		case http.StatusPreconditionFailed:
			return ErrWrongCluster
		}
		return a.unexpected(url)
	})
	return h, err
}

// Promote asks the leader to promote a learner. token is the client's, or empty.
func (c *Client) Promote(ctx context.Context, urls []string, id uint64, token string) error {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", token)
	}
	return c.each(ctx, urls, func(base string) (*answer, error) {
		return c.ask(ctx, http.MethodPost, base+pathPromote+strconv.FormatUint(id, 10), "", nil, header)
	}, func(url string, a *answer) error {
		switch text := a.text(); {
		case a.status == http.StatusOK:
			return nil
		case a.status == http.StatusNotFound:
			return ErrMemberNotFound
		case a.status == http.StatusPreconditionFailed && strings.Contains(text, ErrNotReady.Error()):
			return ErrNotReady
		case a.status == http.StatusPreconditionFailed && strings.Contains(text, ErrNotLearner.Error()):
			return ErrNotLearner
		case a.status == http.StatusRequestTimeout:
			return context.DeadlineExceeded
		}
		return a.unexpected(url)
	})
}

// leaseAnswer turns the answer of the lease paths into bytes or an error.
func leaseAnswer(url string, a *answer) ([]byte, error) {
	switch text := a.text(); {
	case a.status == http.StatusOK:
		return a.body, nil
	case a.status == http.StatusNotFound && text == ErrLeaseNotFound.Error():
		return nil, ErrLeaseNotFound
	case text == ErrNotPrimary.Error():
		return nil, ErrNotPrimary
	case a.status == http.StatusRequestTimeout:
		return nil, ErrBehind
	}
	return nil, a.unexpected(url)
}

const protobufType = "application/protobuf"

func (c *Client) post(ctx context.Context, urls []string, path string, body []byte) (out []byte, err error) {
	err = c.each(ctx, urls, func(base string) (*answer, error) {
		return c.ask(ctx, http.MethodPost, base+path, protobufType, body, nil)
	}, func(url string, a *answer) (err error) {
		out, err = leaseAnswer(url, a)
		return err
	})
	return out, err
}

// RenewLease asks the leader to renew a lease and returns its TTL in seconds.
func (c *Client) RenewLease(ctx context.Context, urls []string, id int64) (ttl int64, err error) {
	body, err := proto.Marshal(&pb.LeaseKeepAliveRequest{ID: id})
	if err != nil {
		return 0, err
	}
	out, err := c.post(ctx, urls, pathLeases, body)
	if err != nil {
		return 0, err
	}
	resp := new(pb.LeaseKeepAliveResponse)
	if err := proto.Unmarshal(out, resp); err != nil {
		return 0, fmt.Errorf("read the answer to a renewal: %w", err)
	}
	return resp.TTL, nil
}

// LeaseTimeToLive asks the leader what is left of a lease.
func (c *Client) LeaseTimeToLive(ctx context.Context, urls []string, req *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	inner, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	out, err := c.post(ctx, urls, pathLeasesDetails, wrap(inner))
	if err != nil {
		return nil, err
	}
	inner, err = unwrap(out)
	if err != nil {
		return nil, err
	}
	resp := new(pb.LeaseTimeToLiveResponse)
	if err := proto.Unmarshal(inner, resp); err != nil {
		return nil, fmt.Errorf("read the answer about a lease: %w", err)
	}
	return resp, nil
}

// wrap puts a message into field 1 of another, which is how the internal lease
// messages are built.
func wrap(inner []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
}

func unwrap(outer []byte) ([]byte, error) {
	for len(outer) > 0 {
		number, kind, n := protowire.ConsumeTag(outer)
		if n < 0 {
			return nil, fmt.Errorf("read a lease message: %w", protowire.ParseError(n))
		}
		outer = outer[n:]
		if number == 1 && kind == protowire.BytesType {
			inner, n := protowire.ConsumeBytes(outer)
			if n < 0 {
				return nil, fmt.Errorf("read a lease message: %w", protowire.ParseError(n))
			}
			return inner, nil
		}
		if n = protowire.ConsumeFieldValue(number, kind, outer); n < 0 {
			return nil, fmt.Errorf("read a lease message: %w", protowire.ParseError(n))
		}
		outer = outer[n:]
	}
	return nil, errors.New("a lease message is empty")
}
