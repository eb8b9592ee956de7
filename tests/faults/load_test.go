package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

const (
	writers       = 4
	keysPerWriter = 12
	// writersPrefix is where the writers' keys are, leasePrefix where those with
	// leases.
	writersPrefix = "w/"
	leasePrefix   = "l/"
)

// load is what goes on in one life of the server.
type load struct {
	*client
	h *history
	// dying is set before the server is killed: from then on calls may fail.
	dying atomic.Bool
	// acks counts acknowledged writes; enough is closed when they are target.
	acks   atomic.Int64
	target int64
	enough chan struct{}
	once   sync.Once
	tasks  sync.WaitGroup
}

// run has a task go on until it fails. Only a server that is being killed may be
// the reason.
func (l *load) run(ctx context.Context, name string, task func(ctx context.Context) error) {
	l.tasks.Go(func() {
		for {
			err := task(ctx)
			if err == nil {
				continue
			}
			if !l.dying.Load() {
				l.h.mu.Lock()
				l.h.fail("%s: %v", name, err)
				l.h.mu.Unlock()
				l.once.Do(func() { close(l.enough) })
			}
			return
		}
	})
}

func (l *load) acked() {
	if l.acks.Add(1) == l.target {
		l.once.Do(func() { close(l.enough) })
	}
}

// writer writes its own keys, each value only once. It lives as long as the test.
type writer struct {
	id     int
	rng    *rand.Rand
	serial int
}

func (w *writer) key(i int) string { return fmt.Sprintf("%s%d/%02d", writersPrefix, w.id, i) }

func (w *writer) put() *attempt {
	w.serial++
	pad := w.rng.IntN(200)
	if w.rng.IntN(10) == 0 {
		pad = w.rng.IntN(60_000)
	}
	return &attempt{key: w.key(w.rng.IntN(keysPerWriter)), value: fmt.Sprintf("%d-%d-%s", w.id, w.serial, strings.Repeat("x", pad))}
}

// write sends one request and waits for its answer.
func (w *writer) write(ctx context.Context, l *load) error {
	switch w.rng.IntN(8) {
	case 0:
		return w.delete(ctx, l)
	case 1:
		return w.transact(ctx, l)
	default:
		a := w.put()
		l.h.begin(a)
		resp, err := l.Put(ctx, &pb.PutRequest{Key: []byte(a.key), Value: []byte(a.value)})
		if err != nil {
			return err
		}
		l.h.acknowledge(resp.Header.Revision, a)
	}
	l.acked()
	return nil
}

// exists tells whether a key of a writer is there, as far as is known.
func (h *history) exists(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.settled[key]
	return a != nil && !a.deletion
}

// delete deletes some of the writer's keys in one request.
func (w *writer) delete(ctx context.Context, l *load) error {
	from := w.rng.IntN(keysPerWriter)
	to := from + 1 + w.rng.IntN(3)
	var gone []*attempt
	for i := from; i < min(to, keysPerWriter); i++ {
		if l.h.exists(w.key(i)) {
			gone = append(gone, &attempt{key: w.key(i), deletion: true})
		}
	}
	l.h.begin(gone...)
	resp, err := l.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(w.key(from)), RangeEnd: []byte(w.key(to))})
	if err != nil {
		return err
	}
	if resp.Deleted != int64(len(gone)) {
		return fmt.Errorf("deleted %d keys of %v", resp.Deleted, gone)
	}
	if len(gone) > 0 {
		l.h.acknowledge(resp.Header.Revision, gone...)
	}
	return nil
}

// transact puts one key and deletes another if the first is as it was last seen.
func (w *writer) transact(ctx context.Context, l *load) error {
	a := w.put()
	l.h.mu.Lock()
	was := l.h.settled[a.key]
	l.h.mu.Unlock()
	compare := &pb.Compare{Key: []byte(a.key), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{}}
	if was != nil && !was.deletion {
		compare.TargetUnion = &pb.Compare_ModRevision{ModRevision: was.rev}
	}
	req := &pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(a.key), Value: []byte(a.value)}}}}}
	writes := []*attempt{a}
	if other := w.key(w.rng.IntN(keysPerWriter)); other != a.key && l.h.exists(other) {
		writes = append(writes, &attempt{key: other, deletion: true})
		req.Success = append(req.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(other)}}})
	}
	l.h.begin(writes...)
	resp, err := l.Txn(ctx, req)
	if err != nil {
		return err
	}
	if !resp.Succeeded {
		return fmt.Errorf("%q was not as its only writer had left it: %v", a.key, was)
	}
	l.h.acknowledge(resp.Header.Revision, writes...)
	return nil
}

// watchAll follows all keys from where the last life ended.
func (l *load) watchAll(ctx context.Context) error {
	w, err := l.Watch(ctx)
	if err != nil {
		return err
	}
	from := l.h.position() + 1
	if err := w.Send(create(0, []byte{0}, []byte{0}, from)); err != nil {
		return err
	}
	for {
		resp, err := w.Recv()
		if err != nil {
			return err
		}
		if resp.Canceled {
			return fmt.Errorf("the watch from %d was canceled: %v", from, resp)
		}
		l.h.observe(resp.Events)
		if len(resp.Events) == 0 && !resp.Created && resp.Header.Revision > l.h.position() {
			return fmt.Errorf("told of progress to %d, at %d", resp.Header.Revision, l.h.position())
		}
	}
}

func create(id int64, key, end []byte, from int64) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: key, RangeEnd: end, StartRevision: from, WatchId: id, ProgressNotify: true}}}
}

// prefixWatcher follows one prefix, through all lives.
type prefixWatcher struct {
	prefix string
	mu     sync.Mutex // guards the fields below
	last   int64
	events []event
}

func (p *prefixWatcher) position() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *prefixWatcher) take(resp *pb.WatchResponse) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range resp.Events {
		rev := e.Kv.ModRevision
		if rev <= p.last && !(i > 0 && rev == resp.Events[i-1].Kv.ModRevision) {
			return fmt.Errorf("the watcher of %s was at %d and got %v", p.prefix, p.last, e)
		}
		p.last = rev
		p.events = append(p.events, remember(e))
	}
	if len(resp.Events) == 0 && !resp.Created {
		p.last = max(p.last, resp.Header.Revision) // progress
	}
	return nil
}

// watchPrefixes follows prefixes, all on one stream.
func (l *load) watchPrefixes(ctx context.Context, watchers []*prefixWatcher) error {
	w, err := l.Watch(ctx)
	if err != nil {
		return err
	}
	for i, p := range watchers {
		end := []byte(p.prefix)
		end[len(end)-1]++
		if err := w.Send(create(int64(i+1), []byte(p.prefix), end, p.position()+1)); err != nil {
			return err
		}
	}
	for {
		resp, err := w.Recv()
		if err != nil {
			return err
		}
		if resp.Canceled {
			return fmt.Errorf("a watch was canceled: %v", resp)
		}
		if resp.WatchId < 1 || resp.WatchId > int64(len(watchers)) {
			return fmt.Errorf("a response for watch %d: %v", resp.WatchId, resp)
		}
		if err := watchers[resp.WatchId-1].take(resp); err != nil {
			return err
		}
	}
}

// compact compacts to somewhere that every watcher has passed.
func (l *load) compact(ctx context.Context, rng *rand.Rand, lowest int64) error {
	l.h.mu.Lock()
	rev := min(lowest, l.h.seen) - rng.Int64N(100)
	if rev <= l.h.compacted {
		l.h.mu.Unlock()
		return nil
	}
	l.h.compacted = rev
	l.h.mu.Unlock()
	_, err := l.Compact(ctx, &pb.CompactionRequest{Revision: rev, Physical: rng.IntN(2) == 0})
	if err == nil {
		l.h.count(&l.h.compactions)
	}
	return err
}

// snapshot reads a whole snapshot and compares the digest behind it.
func (l *load) snapshot(ctx context.Context) error {
	s, err := l.Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		return err
	}
	var file bytes.Buffer
	for {
		resp, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		file.Write(resp.Blob)
	}
	image, digest := file.Bytes(), []byte(nil)
	if len(image) > sha256.Size {
		image, digest = image[:len(image)-sha256.Size], image[len(image)-sha256.Size:]
	}
	if sum := sha256.Sum256(image); !bytes.Equal(sum[:], digest) {
		return fmt.Errorf("the digest of a snapshot of %d bytes is wrong", file.Len())
	}
	l.h.count(&l.h.snapshots)
	return nil
}

// replay watches everything from a revision until the one that is current now.
func (l *load) replay(ctx context.Context, from, to int64) ([]event, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := l.Watch(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.Send(create(0, []byte{0}, []byte{0}, from)); err != nil {
		return nil, err
	}
	var events []event
	for last := from - 1; last < to; {
		resp, err := w.Recv()
		if err != nil {
			return nil, err
		}
		if resp.Canceled {
			return nil, fmt.Errorf("a watch from %d was canceled: %v", from, resp)
		}
		for _, e := range resp.Events {
			events = append(events, remember(e))
			last = e.Kv.ModRevision
		}
	}
	return events, nil
}

// readAll reads the writers' keys.
func (l *load) readAll(ctx context.Context) ([]*mvccpb.KeyValue, int64, error) {
	resp, err := l.Range(ctx, &pb.RangeRequest{Key: []byte(writersPrefix), RangeEnd: []byte("w0")})
	if err != nil {
		return nil, 0, err
	}
	if resp.Count != int64(len(resp.Kvs)) {
		return nil, 0, fmt.Errorf("count %d of %d keys", resp.Count, len(resp.Kvs))
	}
	return resp.Kvs, resp.Header.Revision, nil
}
