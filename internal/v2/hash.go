package v2

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"bowline/internal/engine"
)

// Hash is a sum over all nodes of the tree as they are stored, at one index. Members
// that have the same index have the same sum, or one of them is damaged.
type Hash struct {
	Index uint64 `json:"index"`
	Sum   uint64 `json:"sum"`
}

// nodeSum is what one node adds to the sum.
func nodeSum(path, record []byte) uint64 {
	table := crc32.MakeTable(crc32.Castagnoli)
	x := uint64(crc32.Checksum(path, table))<<32 | uint64(crc32.Checksum(record, table))
	// Sums of checksums would be linear: the bits are mixed as splitmix64 does.
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// deltasLen is how many changes back the sum of then is known.
const deltasLen = 1 << 14

// deltas tell what the last changes have done to the sum of all nodes, so that a member
// that is ahead of another can be compared with it.
type deltas struct {
	mu sync.Mutex // guards all
	// since is the index from which on all changes are known, and list those that have
	// changed the sum, in order.
	since uint64
	list  []delta
}

type delta struct{ index, sum uint64 }

func (d *deltas) restart(index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.since, d.list = index, nil
}

// add notes that the change of an index has added to the sum.
func (d *deltas) add(index, sum uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.list); n > 0 && d.list[n-1].index == index {
		d.list[n-1].sum += sum
		return
	}
	if d.list = append(d.list, delta{index, sum}); len(d.list) < 2*deltasLen {
		return
	}
	d.since = d.list[deltasLen-1].index
	d.list = append(make([]delta, 0, 2*deltasLen), d.list[deltasLen:]...)
}

// between is what the changes behind an index, up to another, have added.
func (d *deltas) between(from, to uint64) (sum uint64, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.list) - 1; i >= 0 && d.list[i].index > from; i-- {
		if d.list[i].index <= to {
			sum += d.list[i].sum
		}
	}
	return sum, from == to || from >= d.since
}

// hashEvery is after how many nodes a context is looked at.
const hashEvery = 4096

// Hash reads all nodes and sums them up.
func (s *Store) Hash(ctx context.Context) (h Hash, err error) {
	src := s.engine.NewSnapshot()
	defer func() { err = errors.Join(err, src.Close()) }()
	n := 0
	err = EachRecord(src, func(body, value []byte) error {
		if n++; n%hashEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case len(body) == 0:
			return fmt.Errorf("%w without a kind", errDamaged)
		case body[0] == kindNode:
			h.Sum += nodeSum(body, value)
		case body[0] == kindState:
			var st State
			if err := st.parse(value); err != nil {
				return err
			}
			h.Index = st.index
		}
		return nil
	})
	return h, err
}

// Rewind returns the hash as it was at an earlier index, if that is still known.
func (s *Store) Rewind(h Hash, index uint64) (Hash, bool) {
	if index > h.Index {
		return h, false
	}
	sum, known := s.deltas.between(index, h.Index)
	return Hash{Index: index, Sum: h.Sum - sum}, known
}

// stored and erased note that a node comes, and goes. Its record is valid until the next
// is made.
func (t *txn) stored(n *Node) (key, value []byte) {
	key, value = t.s.record(n)
	t.s.deltas.add(t.s.state.index, nodeSum(engine.Body(key), value))
	return key, value
}

func (t *txn) erased(n *Node) {
	key, value := t.s.record(n)
	t.s.deltas.add(t.s.state.index, -nodeSum(engine.Body(key), value))
}

// record encodes a node as it is stored. Only the writer calls it.
func (s *Store) record(n *Node) (key, value []byte) {
	s.scratch = appendPath(append(s.scratch[:0], kindNode), n.Path)
	body := len(s.scratch)
	s.scratch = engine.AppendKey(s.scratch, engine.ClassV2, s.scratch[:body])
	at := len(s.scratch)
	s.scratch = n.append(s.scratch)
	return s.scratch[body:at], s.scratch[at:]
}
