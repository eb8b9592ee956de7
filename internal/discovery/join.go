package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"bowline/internal/config"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// registry is the prefix of all keys; etcd's.
const registry = "/_etcd/registry"

// Errors of a discovery that is not tried again, in etcd's words.
var (
	ErrSizeNotFound = errors.New("discovery: size key not found")
	ErrBadSize      = errors.New("discovery: size key is bad")
	ErrFull         = errors.New("discovery: cluster is full")
	ErrInvalidURL   = errors.New("discovery: invalid peer URL")
)

// JoinConfig is what Join needs. Logger may be nil.
type JoinConfig struct {
	Service config.Discovery
	// ID is this member's, and Entry its part of the initial cluster: name=URL, with
	// commas between several.
	ID     uint64
	Entry  string
	Logger *zap.Logger
	// Pause waits between attempts; nil means for the time given.
	Pause func(ctx context.Context, d time.Duration) error
}

// Join registers this member and returns the initial cluster when all its members are
// there. As long as the service cannot be asked it tries again; it gives up with ctx, or
// when the service's answer says that there is nothing to wait for.
func Join(ctx context.Context, cfg JoinConfig) (string, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Pause == nil {
		cfg.Pause = pause
	}
	conn, err := dial(&cfg.Service)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	d := &discovery{
		cfg: cfg.Service, id: strconv.FormatUint(cfg.ID, 16), entry: cfg.Entry, pause: cfg.Pause, conn: conn,
		log: cfg.Logger.With(zap.String("discovery-token", cfg.Service.Token),
			zap.String("discovery-endpoints", strings.Join(cfg.Service.Endpoints, ","))),
	}
	found, err := d.join(ctx)
	if err != nil {
		d.log.Error("discovery failed to join cluster", zap.String("cluster", found), zap.Error(err))
		return "", err
	}
	d.log.Info("discovery joined cluster successfully", zap.String("cluster", found))
	return found, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// discovery is one Join.
type discovery struct {
	cfg     config.Discovery
	id      string
	entry   string
	log     *zap.Logger
	pause   func(context.Context, time.Duration) error
	conn    *grpc.ClientConn
	retries uint
}

// registered is a member as the service has it.
type registered struct {
	key, entry string
	created    int64
}

func (d *discovery) key(parts ...string) string {
	return path.Join(append([]string{registry, d.cfg.Token}, parts...)...)
}

func (d *discovery) join(ctx context.Context) (string, error) {
	const maxDoublings = 8
	for {
		found, err := d.attempt(ctx)
		for _, final := range []error{ErrSizeNotFound, ErrBadSize, ErrFull, ErrInvalidURL, errUser} {
			if errors.Is(err, final) {
				return found, err
			}
		}
		if err == nil || ctx.Err() != nil {
			return found, err
		}
		d.retries++
		wait := time.Second << min(d.retries, maxDoublings)
		d.log.Warn("retry connecting to discovery service", zap.Duration("backoff", wait), zap.Error(err))
		if err := d.pause(ctx, wait); err != nil {
			return "", err
		}
	}
}

// attempt does everything until the service fails.
func (d *discovery) attempt(ctx context.Context) (string, error) {
	ctx, err := d.authenticated(ctx)
	if err != nil {
		return "", err
	}
	size, err := d.size(ctx)
	if err != nil {
		return "", err
	}
	members, revision, err := d.members(ctx, size)
	if err != nil {
		return "", err
	}
	own := d.key("members", d.id)
	if !slices.ContainsFunc(members, func(m registered) bool { return m.key == own && m.entry == d.entry }) {
		if err := d.register(ctx, own); err != nil {
			return "", err
		}
		if members, revision, err = d.members(ctx, size); err != nil {
			return "", err
		}
	}
	for len(members) < size {
		d.log.Info("waiting for peers from discovery service", zap.Int("clusterSize", size), zap.Int("found-peers", len(members)))
		if err := d.waitChange(ctx, revision+1); err != nil {
			return "", err
		}
		if members, revision, err = d.members(ctx, size); err != nil {
			return "", err
		}
	}
	d.log.Info("found all needed peers from discovery service", zap.Int("clusterSize", size), zap.Int("found-peers", len(members)))
	return initialCluster(members[:size])
}

// initialCluster is what the entries of members are together.
func initialCluster(members []registered) (string, error) {
	entries := make([]string, len(members))
	for i := range members {
		entries[i] = members[i].entry
	}
	all := strings.Join(entries, ",")
	if _, err := (config.Bootstrap{Cluster: all}).InitialMembers(); err != nil {
		return all, fmt.Errorf("%w (%.500s: %w)", ErrInvalidURL, all, err)
	}
	return all, nil
}

func (d *discovery) get(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.RequestTimeout)
	defer cancel()
	return pb.NewKVClient(d.conn).Range(ctx, r)
}

// size is how many members the cluster is to have.
func (d *discovery) size(ctx context.Context) (int, error) {
	r, err := d.get(ctx, &pb.RangeRequest{Key: []byte(d.key("_config", "size"))})
	if err != nil {
		return 0, err
	}
	if len(r.Kvs) == 0 {
		return 0, ErrSizeNotFound
	}
	size, err := strconv.Atoi(string(r.Kvs[0].Value))
	if err != nil || size <= 0 {
		return 0, ErrBadSize
	}
	return size, nil
}

// members lists who is registered, in the order of their registration. It refuses when
// the cluster has all its members, and this one is not among them.
func (d *discovery) members(ctx context.Context, size int) ([]registered, int64, error) {
	prefix := d.key("members")
	r, err := d.get(ctx, &pb.RangeRequest{Key: []byte(prefix), RangeEnd: after(prefix)})
	if err != nil {
		return nil, 0, err
	}
	d.retries = 0
	var all []registered
	for _, kv := range r.Kvs {
		m := registered{strings.TrimSpace(string(kv.Key)), strings.TrimSpace(string(kv.Value)), kv.CreateRevision}
		if !strings.Contains(m.entry, "=") {
			d.log.Warn("invalid peer info returned from discovery service", zap.String("memberKey", m.key), zap.String("memberInfo", m.entry))
			continue
		}
		d.log.Info("found peer from discovery service", zap.String("memberKey", m.key), zap.String("memberInfo", m.entry))
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b registered) int { return cmp.Compare(a.created, b.created) })
	own := d.key("members", d.id)
	if len(all) >= size && !slices.ContainsFunc(all[:size], func(m registered) bool { return m.key == own }) {
		return nil, 0, ErrFull
	}
	return all, r.GetHeader().GetRevision(), nil
}

func (d *discovery) register(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.RequestTimeout)
	defer cancel()
	if _, err := pb.NewKVClient(d.conn).Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(d.entry)}); err != nil {
		d.log.Warn("failed to register members itself to the discovery service", zap.String("memberKey", key), zap.Error(err))
		return err
	}
	d.log.Info("register member itself successfully", zap.String("memberKey", key), zap.String("memberInfo", d.entry))
	return nil
}

// waitChange returns when there is an event of a member at the revision or later.
func (d *discovery) waitChange(ctx context.Context, revision int64) error {
	// A server that has lost its cluster is to say so instead of being silent.
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "hasleader", "true"))
	defer cancel()
	w, err := pb.NewWatchClient(d.conn).Watch(ctx)
	if err != nil {
		return err
	}
	prefix := d.key("members")
	create := &pb.WatchCreateRequest{Key: []byte(prefix), RangeEnd: after(prefix), StartRevision: revision}
	if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return err
	}
	for {
		switch r, err := w.Recv(); {
		case err != nil:
			return err
		case r.Canceled && r.CompactRevision > 0:
			return nil // whatever happened meanwhile is in the list
		case r.Canceled:
			return fmt.Errorf("discovery: the watch was canceled: %.200s", r.CancelReason)
		case slices.ContainsFunc(r.Events, func(e *mvccpb.Event) bool { return e.GetKv() != nil }):
			return nil
		}
	}
}

// after is the end of the range of keys with a prefix that ends in a letter.
func after(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return end
}
