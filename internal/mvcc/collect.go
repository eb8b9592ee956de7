package mvcc

import (
	"bytes"
	"cmp"
	"slices"

	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// collector turns matching records into the key-values of a range answer:
// filtered, sorted and cut as the request asks.
type collector struct {
	req     *pb.RangeRequest
	answer  *wire.Answer
	filters bool
	sorts   bool
	// cutFirst tells that the limit is applied to the keys as they come, and what is
	// found then is sorted: so does etcd where a target of sorting has no order.
	cutFirst bool
	sent     int64
	more     bool
	toSort   []wire.KeyValue
	sortRaws [][]byte
	// toSortBytes is the size of sortRaws.
	toSortBytes int
}

func newCollector(req *pb.RangeRequest, a *wire.Answer) *collector {
	c := &collector{req: req, answer: a}
	c.filters = req.MinModRevision != 0 || req.MaxModRevision != 0 ||
		req.MinCreateRevision != 0 || req.MaxCreateRevision != 0
	// Keys come in ascending order; sorting by another target without an order
	// means ascending.
	byKey := req.SortTarget == pb.RangeRequest_KEY
	c.sorts = req.SortOrder == pb.RangeRequest_DESCEND || !byKey
	c.cutFirst = c.sorts && req.SortOrder == pb.RangeRequest_NONE && req.Limit > 0 && !c.filters
	return c
}

// enough tells that the walk may stop: what follows changes neither the answer
// nor its count. With filters or an order the whole range is evaluated.
func (c *collector) enough() bool {
	if c.cutFirst {
		return int64(len(c.toSort)) > c.req.Limit
	}
	return c.more && !c.filters && !c.sorts
}

// add considers one live record, an encoded KeyValue that stays valid only
// during the call.
func (c *collector) add(raw []byte) error {
	if c.filters {
		kv, err := wire.ParseKeyValue(raw)
		if err != nil {
			return err
		}
		if !c.matches(&kv) {
			return nil
		}
	}
	if c.sorts {
		raw = bytes.Clone(raw)
		kv, err := wire.ParseKeyValue(raw)
		if err != nil {
			return err
		}
		c.toSort = append(c.toSort, kv)
		c.sortRaws = append(c.sortRaws, raw)
		c.toSortBytes += len(raw)
		return nil
	}
	c.emit(raw)
	return nil
}

func (c *collector) matches(kv *wire.KeyValue) bool {
	r := c.req
	return (r.MinModRevision == 0 || kv.Mod >= r.MinModRevision) &&
		(r.MaxModRevision == 0 || kv.Mod <= r.MaxModRevision) &&
		(r.MinCreateRevision == 0 || kv.Create >= r.MinCreateRevision) &&
		(r.MaxCreateRevision == 0 || kv.Create <= r.MaxCreateRevision)
}

// emit appends a record to the answer unless the limit is reached.
func (c *collector) emit(raw []byte) {
	if c.req.Limit > 0 && c.sent >= c.req.Limit {
		c.more = true
		return
	}
	c.sent++
	switch {
	case !c.req.KeysOnly:
	case c.req.SortTarget == pb.RangeRequest_VALUE:
		// etcd has read the whole record to sort it, so its lease stays.
		if kv, err := wire.ParseKeyValue(raw); err == nil {
			kv.Value = nil
			raw = kv.Append(nil)
		}
	default:
		raw = wire.WithoutValueAndLease(raw)
	}
	c.answer.Message(tagRangeKV, raw)
}

// finish sorts and emits what was held back for sorting.
func (c *collector) finish() error {
	if !c.sorts {
		return nil
	}
	order := make([]int, len(c.toSort))
	for i := range order {
		order[i] = i
	}
	less := c.compare()
	// etcd's sort is not stable either, and this one leaves equals in the same order.
	slices.SortFunc(order, func(i, j int) int {
		if c.req.SortOrder == pb.RangeRequest_DESCEND {
			i, j = j, i
		}
		return less(&c.toSort[i], &c.toSort[j])
	})
	for _, i := range order {
		if c.emit(c.sortRaws[i]); c.more {
			break
		}
	}
	return nil
}

func (c *collector) compare() func(a, b *wire.KeyValue) int {
	switch c.req.SortTarget {
	case pb.RangeRequest_VERSION:
		return func(a, b *wire.KeyValue) int { return cmp.Compare(a.Version, b.Version) }
	case pb.RangeRequest_CREATE:
		return func(a, b *wire.KeyValue) int { return cmp.Compare(a.Create, b.Create) }
	case pb.RangeRequest_MOD:
		return func(a, b *wire.KeyValue) int { return cmp.Compare(a.Mod, b.Mod) }
	case pb.RangeRequest_VALUE:
		return func(a, b *wire.KeyValue) int { return bytes.Compare(a.Value, b.Value) }
	default:
		return func(a, b *wire.KeyValue) int { return bytes.Compare(a.Key, b.Key) }
	}
}
