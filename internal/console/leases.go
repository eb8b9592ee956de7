package console

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	usualLeases = 50
	maxLeases   = 200
	askAtOnce   = 8 // times of leases, which the leader may have to be asked for
	maxKeys     = 100
)

type leasesQuestion struct {
	// After is the last lease of the page before, as it was told.
	After string `json:"after"`
	Limit int    `json:"limit"`
	// ID asks for one lease, with its keys.
	ID string `json:"id"`
}

type leaseAnswer struct {
	ID      string   `json:"id"`
	TTL     int64    `json:"ttl"`     // seconds left, -1 if it is gone
	Granted int64    `json:"granted"` // seconds
	Error   string   `json:"error,omitempty"`
	Keys    [][]byte `json:"keys,omitempty"`
	Held    int      `json:"held,omitempty"` // how many keys; Keys has the first
}

type leasesAnswer struct {
	Total  int           `json:"total"`
	Leases []leaseAnswer `json:"leases"`
	More   bool          `json:"more,omitempty"`
}

// idText is an ID as etcdctl shows it.
func idText(id int64) string { return strconv.FormatUint(uint64(id), 16) }

func parseID(text string) (int64, error) {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return 0, status.Error(codes.InvalidArgument, "console: no ID of a lease: "+strconv.Quote(text))
	}
	return int64(id), nil
}

// leases tells of leases, by their IDs, or of one with its keys.
func (c *Console) leases(ctx context.Context, decode func(any) error) (any, error) {
	var q leasesQuestion
	if err := decode(&q); err != nil {
		return nil, err
	}
	client := pb.NewLeaseClient(c.Conn)
	if q.ID != "" {
		id, err := parseID(q.ID)
		if err != nil {
			return nil, err
		}
		return oneLease(ctx, client, id)
	}
	after := int64(-1 << 63)
	if q.After != "" {
		var err error
		if after, err = parseID(q.After); err != nil {
			return nil, err
		}
	}
	if q.Limit <= 0 {
		q.Limit = usualLeases
	}
	r, err := client.LeaseLeases(ctx, &pb.LeaseLeasesRequest{}, bounded())
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(r.Leases))
	for i, l := range r.Leases {
		ids[i] = l.ID
	}
	slices.Sort(ids)
	from, found := slices.BinarySearchFunc(ids, after, cmp.Compare[int64])
	if found {
		from++
	}
	page := ids[from:min(from+min(q.Limit, maxLeases), len(ids))]
	a := &leasesAnswer{Total: len(ids), Leases: make([]leaseAnswer, len(page)), More: from+len(page) < len(ids)}
	var asked sync.WaitGroup
	slots := make(chan struct{}, askAtOnce)
	for i, id := range page {
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			a.Leases[i] = leaseAnswer{ID: idText(id)}
			r, err := client.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id})
			if err != nil {
				a.Leases[i].Error = status.Convert(err).Message()
				return
			}
			a.Leases[i].TTL, a.Leases[i].Granted = r.TTL, r.GrantedTTL
		})
	}
	asked.Wait()
	return a, nil
}

func oneLease(ctx context.Context, client pb.LeaseClient, id int64) (any, error) {
	r, err := client.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true}, bounded())
	if err != nil {
		return nil, err
	}
	return &leaseAnswer{ID: idText(id), TTL: r.TTL, Granted: r.GrantedTTL, Held: len(r.Keys), Keys: r.Keys[:min(len(r.Keys), maxKeys)]}, nil
}
