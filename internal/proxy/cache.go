package proxy

import (
	"container/list"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// Bounds of the cache: answers, their size, and for how long one of the newest state is good. Whoever writes past this
// proxy is not heard of here.
const (
	cacheEntries = 2048
	cacheBytes   = 64 << 20
	cacheAge     = 5 * time.Second
)

var errNotCached = errors.New("proxy: not in the cache")

// cache remembers answers to reads for serializable reads. It forgets those that a write may change, if the write goes
// through the proxy or a watch tells of it.
type cache struct {
	figures *figures
	now     func() time.Time

	mu      sync.Mutex // guards what follows
	entries map[string]*list.Element
	order   *list.List // of *cached, those used last first
	bytes   int
	// keys holds the entries of the newest state that are about one key, ranges those about more.
	keys   map[string]map[*cached]struct{}
	ranges map[*cached]struct{}
	// written is the highest revision of a write that is known, and compacted that of a compaction.
	written, compacted int64
}

// cached is an answer.
type cached struct {
	name   string // the encoded request
	what   keyRange
	newest bool // it is about the newest state, not about a revision
	answer *pb.RangeResponse
	bytes  int
	at     time.Time
}

func newCache(f *figures) *cache {
	return &cache{figures: f, now: time.Now, entries: make(map[string]*list.Element), order: list.New(),
		keys: make(map[string]map[*cached]struct{}), ranges: make(map[*cached]struct{})}
}

// nameOf is the same for requests that have the same answer.
func nameOf(r *pb.RangeRequest) (string, error) {
	if !r.Serializable {
		r = proto.CloneOf(r)
		r.Serializable = true
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	return string(b), err
}

// get is the answer to a request, which nobody may modify. The error is errNotCached, or for the client.
func (c *cache) get(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	name, err := nameOf(r)
	if err != nil {
		return nil, errNotCached
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[name]
	switch {
	case r.Revision > 0 && r.Revision < c.compacted:
		if e != nil {
			c.removeLocked(e)
		}
		c.figures.cacheHits.Inc()
		return nil, rpctypes.ErrGRPCCompacted
	case e != nil && c.now().Sub(e.Value.(*cached).at) < cacheAge:
		c.order.MoveToFront(e)
		c.figures.cacheHits.Inc()
		return e.Value.(*cached).answer, nil
	case e != nil:
		c.removeLocked(e)
	}
	c.figures.cacheMisses.Inc()
	return nil, errNotCached
}

// add remembers an answer, unless something was written since that it may not show.
func (c *cache) add(r *pb.RangeRequest, answer *pb.RangeResponse) {
	name, err := nameOf(r)
	if err != nil {
		return
	}
	x := &cached{name: name, what: keyRange{string(r.Key), string(r.RangeEnd)}, newest: r.Revision <= 0, answer: answer,
		bytes: len(name) + proto.Size(answer), at: c.now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.newest && answer.Header.GetRevision() < c.written || !x.newest && r.Revision < c.compacted || x.bytes > cacheBytes/8 {
		return
	}
	if e := c.entries[name]; e != nil {
		c.removeLocked(e)
	}
	c.entries[name] = c.order.PushFront(x)
	c.bytes += x.bytes
	if x.newest && x.what.end != "" {
		c.ranges[x] = struct{}{}
	} else if x.newest {
		if c.keys[x.what.begin] == nil {
			c.keys[x.what.begin] = make(map[*cached]struct{})
		}
		c.keys[x.what.begin][x] = struct{}{}
	}
	for c.order.Len() > cacheEntries || c.bytes > cacheBytes {
		c.removeLocked(c.order.Back())
	}
	c.figures.cacheKeys.Set(float64(c.order.Len()))
}

// forget forgets what is about a range: something in it is written, or was at a revision.
func (c *cache) forget(what keyRange, revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = max(c.written, revision)
	if c.order.Len() == 0 {
		return
	}
	var gone []*cached
	for x := range c.ranges {
		if x.what.meets(what) {
			gone = append(gone, x)
		}
	}
	if what.end == "" {
		for x := range c.keys[what.begin] {
			gone = append(gone, x)
		}
	} else {
		for _, set := range c.keys {
			for x := range set {
				if x.what.meets(what) {
					gone = append(gone, x)
				}
			}
		}
	}
	for _, x := range gone {
		c.removeLocked(c.entries[x.name])
	}
	c.figures.cacheKeys.Set(float64(c.order.Len()))
}

// clear forgets everything.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.order.Len() > 0 {
		c.removeLocked(c.order.Back())
	}
	c.figures.cacheKeys.Set(0)
}

// seen forgets what the events of a watch have changed.
func (c *cache) seen(events []*mvccpb.Event) {
	for _, e := range events {
		c.forget(keyRange{string(e.Kv.Key), ""}, e.Kv.ModRevision)
	}
}

// compact refuses reads below a revision from now on.
func (c *cache) compact(revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.compacted = max(c.compacted, revision)
}

func (c *cache) removeLocked(e *list.Element) {
	x := c.order.Remove(e).(*cached)
	delete(c.entries, x.name)
	delete(c.ranges, x)
	if set := c.keys[x.what.begin]; set != nil {
		if delete(set, x); len(set) == 0 {
			delete(c.keys, x.what.begin)
		}
	}
	c.bytes -= x.bytes
}
