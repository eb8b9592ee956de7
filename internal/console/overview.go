package console

import (
	"context"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
)

// askPatience is how long another member may take to tell its status.
const askPatience = time.Second

// States of a member.
const (
	stateHealthy = "healthy"
	stateUnwell  = "unwell"  // it answers, and says what is wrong
	stateSilent  = "silent"  // raft hears of it, but it does not answer as a client would ask
	stateDead    = "dead"    // nobody hears of it
	stateUnnamed = "unnamed" // added, and not started yet
)

type memberAnswer struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peer_urls"`
	ClientURLs []string `json:"client_urls"`
	Self       bool     `json:"self,omitempty"` // it serves this page
	Leader     bool     `json:"leader,omitempty"`
	Learner    bool     `json:"learner,omitempty"`
	State      string   `json:"state"`
	Error      string   `json:"error,omitempty"`
	Troubles   []string `json:"troubles,omitempty"`

	Version  string  `json:"version,omitempty"`
	Storage  string  `json:"storage_version,omitempty"`
	Size     int64   `json:"size,omitempty"`
	InUse    int64   `json:"in_use,omitempty"`
	Quota    int64   `json:"quota,omitempty"`
	Revision int64   `json:"revision,omitempty"`
	Index    uint64  `json:"index,omitempty"`
	Applied  uint64  `json:"applied,omitempty"`
	Term     uint64  `json:"term,omitempty"`
	Took     float64 `json:"took"` // milliseconds that its answer took
}

type overviewAnswer struct {
	ClusterID      string         `json:"cluster_id"`
	ClusterVersion string         `json:"cluster_version"`
	Leader         string         `json:"leader"` // "" if there is none
	Members        []memberAnswer `json:"members"`
}

// overview asks all members how they are, at the same time and each for a moment.
func (c *Console) overview(ctx context.Context, _ func(any) error) (any, error) {
	list, err := pb.NewClusterClient(c.Conn).MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return nil, err
	}
	a := &overviewAnswer{ClusterID: hexID(list.Header.GetClusterId()), ClusterVersion: c.ClusterVersion(),
		Members: make([]memberAnswer, len(list.Members))}
	c.peers.keep(list.Members)
	var all sync.WaitGroup
	leaders := make([]uint64, len(list.Members))
	for i, m := range list.Members {
		a.Members[i] = memberAnswer{ID: hexID(m.ID), Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs,
			Self: m.ID == c.MemberID, Learner: m.IsLearner}
		all.Go(func() { leaders[i] = c.ask(ctx, m, &a.Members[i]) })
	}
	all.Wait()
	for i, m := range list.Members {
		if m.ID == c.MemberID && leaders[i] != 0 {
			a.Leader = hexID(leaders[i])
		}
	}
	for i := range a.Members {
		a.Members[i].Leader = a.Leader != "" && a.Members[i].ID == a.Leader
	}
	sort.Slice(a.Members, func(i, j int) bool {
		x, y := &a.Members[i], &a.Members[j]
		return x.Name < y.Name || x.Name == y.Name && x.ID < y.ID
	})
	return a, nil
}

// ask fills in what a member tells of itself, and returns who leads in its eyes.
func (c *Console) ask(ctx context.Context, m *pb.Member, a *memberAnswer) (leader uint64) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	began := time.Now()
	s, err := c.statusOf(ctx, m)
	a.Took = float64(time.Since(began)) / float64(time.Millisecond)
	if err != nil {
		a.Error = reasonOf(err)
		switch {
		case m.Name == "":
			a.State = stateUnnamed
		case m.ID == c.MemberID || c.InTouch(m.ID):
			a.State = stateSilent
		default:
			a.State = stateDead
		}
		return 0
	}
	a.State, a.Troubles = stateHealthy, s.Errors
	if len(s.Errors) > 0 {
		a.State = stateUnwell
	}
	a.Version, a.Storage, a.Size, a.InUse, a.Quota = s.Version, s.StorageVersion, s.DbSize, s.DbSizeInUse, s.DbSizeQuota
	a.Revision, a.Index, a.Applied, a.Term = s.Header.GetRevision(), s.RaftIndex, s.RaftAppliedIndex, s.RaftTerm
	return s.Leader
}

// reasonOf is why a call failed, without what every failure to connect begins with.
func reasonOf(err error) string {
	text := status.Convert(err).Message()
	if _, rest, ok := strings.Cut(text, "while dialing: "); ok {
		return strings.Trim(rest, `"`)
	}
	return text
}

func (c *Console) statusOf(ctx context.Context, m *pb.Member) (*pb.StatusResponse, error) {
	if m.ID == c.MemberID {
		return pb.NewMaintenanceClient(c.Conn).Status(ctx, &pb.StatusRequest{})
	}
	conn, err := c.peers.conn(m, c.Dial)
	if err != nil {
		return nil, err
	}
	return pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
}

func hexID(id uint64) string { return strconv.FormatUint(id, 16) }
