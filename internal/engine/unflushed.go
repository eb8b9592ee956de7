package engine

import (
	"hash/maphash"
	"math"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// unflushed tells which keys have versions in memtables. Most keys that a writer looks for
// and that no cache knows are new, or have long been in files; without this, each such look
// walks every memtable, of which most is in no cache of the processor, to find nothing
// there. It may take a key for one that has, never the other way round. Writer only,
// but for the field flushed.
type unflushed struct {
	seed maphash.Seed
	// flushed is the last sequence number in a table that a flush has written; seen is
	// what the writer knows of it.
	flushed atomic.Uint64
	seen    uint64
	// stretches are what was committed between the ends of flushes, oldest first.
	stretches []stretch
}

// stretch is a filter of the keys of some batches, in succession.
type stretch struct {
	// words hold four bits of one word for each key.
	words []uint64
	// everything tells that a change of another kind than of one record is among them.
	everything bool
	// last is the sequence number of the last change, notKnown until a batch after it tells.
	last uint64
}

const notKnown = math.MaxUint64

// stretchWords is for the keys of a memtable and a half: with 100,000 short ones, some in a
// hundred are taken for others.
const stretchWords = 1 << 14

func newUnflushed() *unflushed { return &unflushed{seed: maphash.MakeSeed()} }

// flushedTables is to be called when a flush has ended, whose tables are being read.
func (u *unflushed) flushedTables(tables []pebble.TableInfo) {
	last := u.flushed.Load()
	for _, t := range tables {
		last = max(last, uint64(t.LargestSeqNum))
	}
	u.flushed.Store(last) // flushes end one after the other
}

// committing is to be called with each batch before it is committed: afterwards Pebble may have
// kept what is in it, as it does with one that takes half a memtable. Memtables are flushed in
// the order of sequence numbers, and whole: what is not above the last one in a table is
// flushed, too.
func (u *unflushed) committing(b *Batch) {
	if b.Empty() {
		return
	}
	if flushed := u.flushed.Load(); flushed != u.seen || len(u.stretches) == 0 {
		u.seen = flushed
		u.stretches = slices.DeleteFunc(u.stretches, func(s stretch) bool { return s.last <= flushed })
		if n := len(u.stretches); n == 0 || u.stretches[n-1].last != notKnown {
			u.stretches = append(u.stretches, stretch{words: make([]uint64, stretchWords)})
		}
	}
	s := &u.stretches[len(u.stretches)-1]
	s.last = notKnown
	for r := b.Reader(); ; {
		kind, key, _, ok, err := r.Next()
		switch {
		case err != nil:
			s.everything = true
			return
		case !ok:
			return
		case kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindDelete:
			s.everything = true
		case Class(key[0]) == ClassVersion:
			at, bits := u.place(key[:split(key)])
			s.words[at] |= bits
		}
	}
}

// committed is to be called with the batch when it has been committed.
func (u *unflushed) committed(b *Batch) {
	if !b.Empty() {
		u.stretches[len(u.stretches)-1].last = uint64(b.SeqNum()) + uint64(b.Count()) - 1
	}
}

// has tells whether versions with this prefix may be in memtables.
func (u *unflushed) has(prefix []byte) bool {
	at, bits := u.place(prefix)
	for _, s := range u.stretches {
		if s.everything || s.words[at]&bits == bits {
			return true
		}
	}
	return false
}

func (u *unflushed) place(prefix []byte) (word int, bits uint64) {
	h := maphash.Bytes(u.seed, prefix)
	return int(h>>24) & (stretchWords - 1), 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
}

// InFiles tells that all versions of a key, whose stored prefix is given, are flushed: FileReads
// finds them as PointReads does. Writer only.
func (e *Engine) InFiles(prefix []byte) bool { return !e.current.Load().unflushed.has(prefix) }

// FileReads is PointReads of what has been flushed.
func FileReads() *IterOptions {
	return &IterOptions{UseL6Filters: true, OnlyReadGuaranteedDurable: true}
}
