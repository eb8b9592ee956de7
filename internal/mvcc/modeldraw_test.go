package mvcc

import (
	"fmt"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"
)

// drawer draws requests that meet each other: few keys, few values, revisions
// around those there are. They have the shape that the server lets through.
type drawer struct {
	t *rapid.T
	m *model
	// keys are the keys in use, ends what ranges may end with.
	keys, ends []string
}

// smallKeys have each other as prefixes, and bytes that a codec may stumble over.
var smallKeys = []string{"a", "a\x00", "a\x00\x00", "aa", "b", "\x00", "\xff", "\xff\xff", "c"}

func manyKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key/%04d", i)
	}
	return keys
}

func newDrawer(t *rapid.T, m *model, keys []string) *drawer {
	return &drawer{t: t, m: m, keys: keys, ends: append(slices.Clone(keys), "\x00", "\xff\xff\xff", "b\x00")}
}

func (d *drawer) key() []byte { return []byte(rapid.SampledFrom(d.keys).Draw(d.t, "key")) }

// bounds draws a key and, more often than not, a range end.
func (d *drawer) bounds() (key, end []byte) {
	key = d.key()
	switch rapid.IntRange(0, 5).Draw(d.t, "bounds") {
	case 0, 1:
		return key, nil
	case 2:
		return []byte{0}, []byte{0}
	default:
		return key, []byte(rapid.SampledFrom(d.ends).Draw(d.t, "end"))
	}
}

func (d *drawer) value() []byte {
	return []byte(rapid.SampledFrom([]string{"", "x", "y", "a longer value"}).Draw(d.t, "value"))
}

// revision draws one from before the compacted to after the current one.
func (d *drawer) revision() int64 {
	return rapid.Int64Range(max(d.m.compacted-1, -2), d.m.current+1).Draw(d.t, "revision")
}

func (d *drawer) lease() int64 {
	return rapid.SampledFrom([]int64{0, 0, 0, 1, 2, -3}).Draw(d.t, "lease")
}

func (d *drawer) bool(label string) bool { return rapid.Bool().Draw(d.t, label) }

func (d *drawer) rarely(label string) bool { return rapid.IntRange(0, 5).Draw(d.t, label) == 0 }

func (d *drawer) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: d.key(), PrevKv: d.bool("prev")}
	if r.IgnoreValue = d.rarely("ignore value"); !r.IgnoreValue {
		r.Value = d.value()
	}
	if r.IgnoreLease = d.rarely("ignore lease"); !r.IgnoreLease {
		r.Lease = d.lease()
	}
	return r
}

func (d *drawer) deleteRange() *pb.DeleteRangeRequest {
	key, end := d.bounds()
	return &pb.DeleteRangeRequest{Key: key, RangeEnd: end, PrevKv: d.bool("prev")}
}

func (d *drawer) rangeRequest() *pb.RangeRequest {
	key, end := d.bounds()
	r := &pb.RangeRequest{Key: key, RangeEnd: end}
	if d.bool("at revision") {
		r.Revision = d.revision()
	}
	if d.bool("plain") {
		return r
	}
	r.Limit = rapid.SampledFrom([]int64{0, 1, 2, 3, 700, -1}).Draw(d.t, "limit")
	r.KeysOnly = d.rarely("keys only")
	r.CountOnly = d.rarely("count only")
	if d.bool("sort") {
		r.SortOrder = rapid.SampledFrom([]pb.RangeRequest_SortOrder{0, 1, 2}).Draw(d.t, "order")
		r.SortTarget = rapid.SampledFrom([]pb.RangeRequest_SortTarget{0, 1, 2, 3, 4}).Draw(d.t, "target")
	}
	if d.rarely("filter") {
		r.MinModRevision, r.MaxModRevision = d.revision(), d.revision()
	}
	if d.rarely("filter") {
		r.MinCreateRevision, r.MaxCreateRevision = d.revision(), d.revision()
	}
	return r
}

func (d *drawer) compare() *pb.Compare {
	key, end := d.bounds()
	c := &pb.Compare{Key: key, RangeEnd: end,
		Result: pb.Compare_CompareResult(rapid.IntRange(0, 4).Draw(d.t, "operator")),
		Target: pb.Compare_CompareTarget(rapid.IntRange(0, 5).Draw(d.t, "target"))}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: rapid.Int64Range(0, 3).Draw(d.t, "version")}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: d.revision()}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: d.revision()}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: d.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: d.lease()}
	}
	return c
}

func (d *drawer) txn(depth int) *pb.TxnRequest {
	r := new(pb.TxnRequest)
	for range rapid.IntRange(0, 2).Draw(d.t, "compares") {
		r.Compare = append(r.Compare, d.compare())
	}
	r.Success, r.Failure = d.ops(depth), d.ops(depth)
	// As the server does, let no key be put twice in a branch.
	if _, ok := putsOf(r.Success); !ok {
		r.Success = nil
	}
	if _, ok := putsOf(r.Failure); !ok {
		r.Failure = nil
	}
	return r
}

// putsOf are the keys that operations put; false if one of them may be put twice.
func putsOf(ops []*pb.RequestOp) (map[string]bool, bool) {
	puts := make(map[string]bool)
	for _, op := range ops {
		these := make(map[string]bool)
		if r := op.GetRequestPut(); r != nil {
			these[string(r.Key)] = true
		}
		if t := op.GetRequestTxn(); t != nil {
			then, _ := putsOf(t.Success)
			otherwise, _ := putsOf(t.Failure)
			maps.Copy(these, then)
			maps.Copy(these, otherwise)
		}
		for k := range these {
			if puts[k] {
				return puts, false
			}
			puts[k] = true
		}
	}
	return puts, true
}

func (d *drawer) ops(depth int) []*pb.RequestOp {
	var ops []*pb.RequestOp
	for range rapid.IntRange(0, 3).Draw(d.t, "ops") {
		op := new(pb.RequestOp)
		switch rapid.IntRange(0, 6).Draw(d.t, "op") {
		case 0, 1, 2:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: d.put()}
		case 3:
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: d.deleteRange()}
		case 4, 5:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: d.rangeRequest()}
		default:
			if depth == 0 {
				continue
			}
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: d.txn(depth - 1)}
		}
		ops = append(ops, op)
	}
	return ops
}

// request draws an entry of the log.
func (d *drawer) request() *pb.InternalRaftRequest {
	switch rapid.IntRange(0, 11).Draw(d.t, "request") {
	case 0, 1, 2, 3:
		return &pb.InternalRaftRequest{Put: d.put()}
	case 4, 5:
		return &pb.InternalRaftRequest{DeleteRange: d.deleteRange()}
	case 6, 7, 8:
		return &pb.InternalRaftRequest{Txn: d.txn(2)}
	case 9:
		return &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: rapid.SampledFrom([]int64{1, 2, -3}).Draw(d.t, "lease")}}
	case 10:
		return &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: rapid.SampledFrom([]int64{1, 2, -3}).Draw(d.t, "lease")}}
	default:
		return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: d.revision()}}
	}
}
