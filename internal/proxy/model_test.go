package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// history is what was written, in the order of revisions, which have no gaps from 2 on.
type history struct {
	mu     sync.Mutex // guards writes
	writes []written
}

type written struct {
	key    string
	delete bool
}

// from lists the revisions from one on, to another, that are about a range, and of a kind that is wanted.
func (h *history) from(r keyRange, noDelete bool, first, last int64) (out []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, w := range h.writes {
		if rev := int64(i) + 2; rev >= first && rev <= last && r.meets(keyRange{w.key, ""}) && (!w.delete || !noDelete) {
			out = append(out, rev)
		}
	}
	return out
}

const (
	modelKeys    = 4
	modelWrites  = 1500 // from then on clients may be content with less
	modelClients = 12
)

// TestWatchesSeeEverythingOnce: clients that watch ranges from anywhere, read now slowly and now fast, and leave at any time
// see each event once, in order, whatever shares they pass through.
func TestWatchesSeeEverythingOnce(t *testing.T) {
	m := startMember(t)
	addr := startNarrow(t, m)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	h := new(history)
	ctx := limited(t)
	writer, err := clientv3.New(clientv3.Config{Endpoints: []string{m}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	var clients sync.WaitGroup
	for i := range modelClients {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(1<<16))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for round := range 3 {
				if err := watchSome(ctx, rng, h, pb.NewWatchClient(conn)); err != nil {
					t.Errorf("client %d, round %d: %v", i, round, err)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 1<<32))
	value := string(make([]byte, 32<<10))
	done := make(chan struct{})
	go func() {
		clients.Wait()
		close(done)
	}()
	// As long as anybody watches something is written: who came late must see an event, too.
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		w := written{fmt.Sprintf("k%d", rng.IntN(modelKeys)), rng.IntN(4) == 0}
		h.mu.Lock()
		var err error
		var deleted int64 = 1
		if w.delete {
			var r *clientv3.DeleteResponse
			if r, err = writer.Delete(ctx, w.key); err == nil {
				deleted = r.Deleted
			}
		} else {
			_, err = writer.Put(ctx, w.key, value)
		}
		if deleted > 0 {
			h.writes = append(h.writes, w)
		}
		h.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// startNarrow starts a proxy whose queues are short, so that watches are parked often.
func startNarrow(t *testing.T, endpoint string) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	p := &proxy{figures: newFigures(), log: zap.NewNop(), options: &options{listen: addr, endpoints: []string{endpoint}, tlsMin: "TLS1.2",
		maxStreams: 1 << 20, queue: bounds{4, 64 << 10}}}
	err := p.start(t.Context())
	t.Cleanup(p.stop)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// watchSome watches a range, and compares what comes with what was written.
func watchSome(ctx context.Context, rng *rand.Rand, h *history, c pb.WatchClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Watch(ctx)
	if err != nil {
		return err
	}
	what := []keyRange{{"k0", ""}, {"k1", "k3"}, {"k", endless}}[rng.IntN(3)]
	h.mu.Lock()
	now := int64(len(h.writes)) + 1
	h.mu.Unlock()
	first := []int64{0, 1, now / 2, now, now + 1, now + 20}[rng.IntN(6)]
	req := &pb.WatchCreateRequest{Key: []byte(what.begin), RangeEnd: []byte(what.end), StartRevision: first, Fragment: rng.IntN(2) == 0}
	noDelete := rng.IntN(2) == 0
	if noDelete {
		req.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}
	}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}}); err != nil {
		return err
	}
	slow := rng.IntN(2) == 0
	var seen []int64
	for want := 50 + rng.IntN(400); len(seen) < want; {
		resp, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case resp.Created && first == 0:
			first = resp.Header.Revision + 1
		case resp.Canceled:
			return errors.New("cancelled: " + resp.CancelReason)
		}
		for _, e := range resp.Events {
			seen = append(seen, e.Kv.ModRevision)
			if e.Type == mvccpb.DELETE && noDelete {
				return errors.New("a deletion came")
			}
		}
		h.mu.Lock()
		over := len(h.writes) >= modelWrites*3/4
		h.mu.Unlock()
		if over && len(resp.Events) > 0 {
			break // what is left may not be enough
		}
		switch {
		case slow && resp.Created:
			pause(ctx, 400*time.Millisecond) // until its queue is full
		case slow && rng.IntN(4) == 0:
			pause(ctx, time.Duration(rng.IntN(20))*time.Millisecond)
		}
	}
	if len(seen) == 0 {
		return errors.New("nothing came")
	}
	if want := h.from(what, noDelete, first, seen[len(seen)-1]); fmt.Sprint(seen) != fmt.Sprint(want) {
		return fmt.Errorf("%q from %d: seen are %v\nnot %v", what, first, seen, want)
	}
	return nil
}
