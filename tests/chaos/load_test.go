package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	clients = 9
	// readers are those of the clients that do nothing but read, each always at the
	// same member: one that answers by what it has when it is cut off is found out.
	readers  = 3
	watchers = 4
	pace     = 12 * time.Millisecond // between the calls of a client
	// callPatience is how long a client waits before it gives a call up.
	callPatience = 1500 * time.Millisecond
	// keysAtOnce are in use at the same time, for about opsPerKey operations each:
	// histories of keys stay short enough to be judged.
	keysAtOnce = 8
	opsPerKey  = 120
)

// load is what clients do with a cluster while it is hurt.
type load struct {
	*history
	prefix   string
	conns    []*client
	watchers []*watcher
	leases   []*keeper
	clocks   *clocks      // nil if they do not jump
	calls    atomic.Int64 // decides which keys are in use
	acks     atomic.Int64
	stop     context.CancelFunc // ends clients and keepers
	stopAll  context.CancelFunc // ends watchers too
	tasks    sync.WaitGroup     // clients and keepers
	watching sync.WaitGroup
}

// startLoad starts clients of a world's members that use keys below prefix, and
// watchers from a revision on.
func startLoad(w *world, prefix string, from int64, seed uint64) (*load, error) {
	conns, err := dialAll(w.cluster.Members)
	if err != nil {
		return nil, err
	}
	l := &load{history: &history{began: time.Now()}, prefix: prefix, conns: conns}
	l.clocks, _ = w.network.(*clocks)
	all, stopAll := context.WithCancel(context.Background())
	ctx, stop := context.WithCancel(all)
	l.stop, l.stopAll = stop, stopAll
	for i := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		l.tasks.Go(func() { (&worker{load: l, id: i, rng: rng, seen: map[string]string{}}).run(ctx) })
	}
	for i := range watchers {
		w := &watcher{load: l, at: i, next: from}
		l.watchers = append(l.watchers, w)
		l.watching.Go(func() { w.run(all) })
	}
	for i := range 2 {
		k := &keeper{load: l, key: fmt.Sprintf("%slease/%d", prefix, i), at: i}
		l.leases = append(l.leases, k)
		l.tasks.Go(func() { k.run(ctx) })
	}
	return l, nil
}

// quiet ends the clients and waits for them.
func (l *load) quiet() {
	l.stop()
	l.tasks.Wait()
}

// close ends everything. It is allowed after quiet, and twice.
func (l *load) close() {
	l.stopAll()
	l.tasks.Wait()
	l.watching.Wait()
	hangUp(l.conns)
}

// worker is one client: one call after the other, at the same member until that
// one fails it, or always if it is a reader.
type worker struct {
	*load
	id     int
	rng    *rand.Rand
	at     int
	serial int
	seen   map[string]string // the newest value that it knows of each key
}

func (w *worker) run(ctx context.Context) {
	w.at = w.id
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.call(ctx)
		}
	}
}

// key is one of those in use.
func (l *load) key(rng *rand.Rand) string {
	generation := l.calls.Add(1) / (keysAtOnce * opsPerKey)
	return fmt.Sprintf("%s%d/%d", l.prefix, generation, rng.IntN(keysAtOnce))
}

// call makes one call and notes what came of it.
func (w *worker) call(ctx context.Context) {
	c := w.conns[w.at%len(w.conns)]
	o := &operation{Client: w.id, Key: w.key(w.rng), Member: c.member.Name}
	o.Kind = []kind{get, get, put, put, put, swap, swap, drop}[w.rng.IntN(8)]
	if w.id < readers {
		o.Kind = get
	}
	if o.Kind == put || o.Kind == swap {
		w.serial++
		o.Value = fmt.Sprintf("%s%d-%d", w.prefix, w.id, w.serial)
	}
	if o.Kind == swap || o.Kind == drop {
		o.Expect = w.seen[o.Key]
	}
	if o.Kind == drop && o.Expect == "" {
		o.Kind = get
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), callPatience)
	defer cancel()
	o.Call = w.now()
	err := c.perform(own, o)
	o.Return = w.now()
	if err != nil {
		o.Unknown, o.Err = true, err.Error()
		if w.id >= readers {
			w.at = w.rng.IntN(len(w.conns))
		}
	} else {
		w.acks.Add(1)
		w.seen[o.Key] = o.Value
		if o.Failed {
			w.seen[o.Key] = "" // whatever it is; a read will tell
		}
	}
	w.add(o)
}

// perform sends an operation and writes the answer into it.
func (c *client) perform(ctx context.Context, o *operation) error {
	key := []byte(o.Key)
	switch o.Kind {
	case get:
		resp, err := c.Range(ctx, &pb.RangeRequest{Key: key})
		if err != nil {
			return err
		}
		o.Header = resp.Header.Revision
		for _, kv := range resp.Kvs {
			o.Value, o.Revision = string(kv.Value), kv.ModRevision
		}
	case put:
		resp, err := c.Put(ctx, &pb.PutRequest{Key: key, Value: []byte(o.Value)})
		if err != nil {
			return err
		}
		o.Revision, o.Header = resp.Header.Revision, resp.Header.Revision
	default:
		resp, err := c.Txn(ctx, conditional(o))
		if err != nil {
			return err
		}
		o.Revision, o.Header, o.Failed = resp.Header.Revision, resp.Header.Revision, !resp.Succeeded
	}
	return nil
}

// conditional is a swap or a deletion.
func conditional(o *operation) *pb.TxnRequest {
	key := []byte(o.Key)
	compare := &pb.Compare{Key: key, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(o.Expect)}}
	if o.Expect == "" {
		compare.Target, compare.TargetUnion = pb.Compare_CREATE, &pb.Compare_CreateRevision{}
	}
	then := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: []byte(o.Value)}}}
	if o.Kind == drop {
		then.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}
	}
	return &pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{then}}
}
