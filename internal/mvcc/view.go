package mvcc

import (
	"bytes"
	"context"
	"math"

	"bowline/internal/engine"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Tags of etcdserverpb.RangeResponse behind its header.
const (
	tagRangeKV    = 2<<3 | 2
	tagRangeMore  = 3 << 3
	tagRangeCount = 4 << 3
)

// View is the key space at one revision. It is a small value, safe for
// concurrent use, and holds nothing open.
type View struct {
	store *Store
	src   engine.Reader
	// current is the revision that answers report, and above which a requested
	// revision lies in the future.
	current int64
	// newest is the highest main revision that reads see: current, or one more
	// inside a transaction that has already written.
	newest int64
	// most is how much a range may collect, 0 for what a message can carry.
	most int
}

// Bounded is the view for ranges that collect at most so many bytes, and fail with
// ErrBounded otherwise. What they walk over without collecting it does not count.
func (v View) Bounded(bytes int) View {
	v.most = bytes
	return v
}

// Count is how many keys there are in a request's range at the view's revision.
func (v View) Count(ctx context.Context, key, rangeEnd []byte) (int64, error) {
	end, single, empty := rangeBounds(key, rangeEnd)
	switch {
	case empty:
		return 0, nil
	case single:
		return 1, nil
	}
	return v.count(ctx, key, end, v.newest)
}

// View returns the key space as of the last published revision.
func (s *Store) View() View {
	current := s.current.Load()
	return View{store: s, src: s.engine, current: current, newest: current}
}

// Revision is the revision of the view, which answers report in their header.
func (v View) Revision() int64 { return v.current }

// checkRevision returns the main revision to read at. The caller must have
// opened its iterator before.
func (v View) checkRevision(requested int64) (int64, error) {
	if requested <= 0 {
		return v.newest, nil
	}
	if requested > v.current {
		return 0, ErrFutureRevision
	}
	if requested < v.store.compacted.Load() {
		return 0, ErrCompacted
	}
	return requested, nil
}

// Range appends the fields of a RangeResponse that follow its header to a. The
// request must have passed the checks of shape. Cost: a bounded number of copies
// of what is answered; a request with sorting holds all its matches in memory.
func (v View) Range(ctx context.Context, req *pb.RangeRequest, a *wire.Answer) error {
	v.store.stats.Ranges.Add(1)
	end, single, empty := rangeBounds(req.Key, req.RangeEnd)
	if empty {
		_, err := v.checkRevision(req.Revision)
		return err
	}
	if single {
		return v.rangeOne(req, a)
	}
	if req.CountOnly {
		rev, err := v.checkRevision(req.Revision)
		if err != nil {
			return err
		}
		n, err := v.count(ctx, req.Key, end, rev)
		if err != nil {
			return err
		}
		a.Int(tagRangeCount, n)
		return nil
	}
	return v.rangeMany(ctx, req, end, a)
}

// rangeOne answers a request for a single key, from the cache if possible.
func (v View) rangeOne(req *pb.RangeRequest, a *wire.Answer) error {
	rev, err := v.checkRevision(req.Revision)
	if err != nil {
		return err
	}
	found, ok := v.store.cache.get(req.Key)
	if !ok || found.rev.Main > rev || found.live() && found.stored == nil {
		if found, ok, err = load(v.src, req.Key, rev); err != nil {
			return err
		}
		// What was read may have been removed by a compaction that was accepted
		// meanwhile.
		if _, err = v.checkRevision(req.Revision); err != nil {
			return err
		}
		if rev < v.store.compacted.Load() {
			return ErrViewStale
		}
	}
	if !ok || !found.live() {
		return nil
	}
	a.Reserve(len(found.stored) + 32)
	if !req.CountOnly {
		c := newCollector(req, a)
		if err := c.add(found.kv()); err != nil {
			return err
		}
		if err := c.finish(); err != nil {
			return err
		}
		a.Bool(tagRangeMore, c.more)
	}
	a.Int(tagRangeCount, 1)
	return nil
}

func (v View) rangeMany(ctx context.Context, req *pb.RangeRequest, end []byte, a *wire.Answer) error {
	c := newCollector(req, a)
	var walked int64
	passed := passage{border: v.store.borderAfter(req.Key)}
	rev, cut, err := v.scan(ctx, req.Key, end, req.Revision, func(stored, value []byte) (bool, error) {
		passed.key(stored, walked)
		walked++
		if err := c.add(value[1:]); err != nil {
			return false, err
		}
		if a.Len() > math.MaxInt32 {
			return false, ErrAnswerTooLarge
		}
		if v.most > 0 && a.Len()+c.toSortBytes > v.most {
			return false, ErrBounded
		}
		if !c.enough() {
			return true, nil
		}
		passed.end(stored, walked)
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := c.finish(); err != nil {
		return err
	}
	if cut {
		rest, err := v.count(ctx, passed.border, end, rev)
		if err != nil {
			return err
		}
		walked = passed.before + rest
	}
	a.Bool(tagRangeMore, c.more)
	a.Int(tagRangeCount, walked)
	return nil
}

// passage is what a walk that ends early knows for the count of its range: how many
// keys there are before a place from which on they need not be walked again.
type passage struct {
	// border is that place, at first the border between count leaves that follows the
	// range's start, nil if there is none.
	border []byte
	before int64
	found  bool
}

// key tells of the next key, before which there were n.
func (p *passage) key(stored []byte, n int64) {
	if !p.found && p.border != nil && bytes.Compare(engine.VersionUserKey(stored), p.border) >= 0 {
		p.before, p.found = n, true
	}
}

// end tells of the walk's last key, the n-th.
func (p *passage) end(stored []byte, n int64) {
	if !p.found {
		key := engine.VersionUserKey(stored)
		p.border, p.before, p.found = append(key[:len(key):len(key)], 0), n, true
	}
}

// scan walks the live keys of [start, end) at the requested revision (<= 0: the
// view's). It reports the revision read at, and whether f ended the walk.
func (v View) scan(ctx context.Context, start, end []byte, requested int64,
	f func(stored, value []byte) (bool, error)) (rev int64, cut bool, err error) {
	it, err := newVersionIter(v.src, start, end)
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	if rev, err = v.checkRevision(requested); err != nil {
		return 0, false, err
	}
	if rev < v.store.compacted.Load() {
		return 0, false, ErrViewStale
	}
	var stop error
	n := 0
	err = walk(it, rev, func(stored, value []byte) bool {
		var more bool
		if more, stop = f(stored, value); stop != nil || !more {
			cut = true
			return false
		}
		if n++; n%ctxCheckEvery == 0 {
			if stop = ctx.Err(); stop != nil {
				return false
			}
		}
		return true
	})
	if err == nil {
		err = stop
	}
	return rev, cut, err
}

// ctxCheckEvery is how many keys a walk passes before it looks whether its
// caller still waits.
const ctxCheckEvery = 1024

// Stream answers a RangeStream: send is called with the fields that follow the
// header of each chunk's RangeResponse, and with last set for the chunk that
// carries the header, the count and more. chunkBytes is the size that chunks
// grow towards.
func (v View) Stream(ctx context.Context, req *pb.RangeRequest, chunkBytes int,
	send func(a *wire.Answer, last bool) error) error {
	v.store.stats.Ranges.Add(1)
	end, single, empty := rangeBounds(req.Key, req.RangeEnd)
	rev, err := v.checkRevision(req.Revision)
	if err != nil {
		return err
	}
	if single || empty || req.CountOnly || req.Limit < 0 {
		a := new(wire.Answer)
		one := req
		if !empty && req.Limit < 0 {
			one = &pb.RangeRequest{Key: req.Key, RangeEnd: req.RangeEnd, Revision: rev,
				KeysOnly: req.KeysOnly, CountOnly: req.CountOnly}
		}
		if err := v.Range(ctx, one, a); err != nil {
			return err
		}
		return send(a, true)
	}
	return v.streamChunks(ctx, req, end, rev, chunkBytes, send)
}

func (v View) streamChunks(ctx context.Context, req *pb.RangeRequest, end []byte, rev int64, chunkBytes int,
	send func(a *wire.Answer, last bool) error) error {
	const firstChunkKeys = 10
	start := req.Key
	total := int64(0)
	for keys := int64(firstChunkKeys); ; {
		want := keys
		if req.Limit > 0 {
			want = min(want, req.Limit-total)
		}
		a := new(wire.Answer)
		c := newCollector(&pb.RangeRequest{Limit: want, KeysOnly: req.KeysOnly}, a)
		var lastKey []byte
		_, _, err := v.scan(ctx, start, end, rev, func(stored, value []byte) (bool, error) {
			if err := c.add(value[1:]); err != nil {
				return false, err
			}
			if !c.more {
				lastKey = append(lastKey[:0], engine.VersionUserKey(stored)...)
			}
			return !c.enough(), nil
		})
		if err != nil {
			a.Release()
			return err
		}
		total += c.sent
		if !c.more || req.Limit > 0 && total >= req.Limit {
			n := total
			if c.more {
				if n, err = v.count(ctx, req.Key, end, rev); err != nil {
					a.Release()
					return err
				}
			}
			a.Bool(tagRangeMore, c.more)
			a.Int(tagRangeCount, n)
			return send(a, true)
		}
		size := a.Len()
		if err := send(a, false); err != nil {
			return err
		}
		switch {
		case size < chunkBytes/2:
			keys *= 2
		case size > 2*chunkBytes:
			keys = max(keys/2, 1)
		}
		start = append(bytes.Clone(lastKey), 0)
	}
}

// count returns the number of live keys in [start, end) at rev.
func (v View) count(ctx context.Context, start, end []byte, rev int64) (int64, error) {
	if v.src != engine.Reader(v.store.engine) {
		return v.countByWalk(ctx, start, end, rev)
	}
	return v.store.count(ctx, start, end, rev)
}

func (v View) countByWalk(ctx context.Context, start, end []byte, rev int64) (int64, error) {
	it, err := newVersionIter(v.src, start, end)
	if err != nil {
		return 0, err
	}
	defer it.Close()
	return countWalk(ctx, it, rev)
}

func countWalk(ctx context.Context, it engine.Iterator, rev int64) (int64, error) {
	n := int64(0)
	err := walk(it, rev, func(_, _ []byte) bool {
		n++
		return n%ctxCheckEvery != 0 || ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return n, err
}
