package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"bowline/internal/engine"
	"bowline/internal/wire"
)

// Builder fills an empty engine with a key space that was written elsewhere. It is
// given the versions in the order of keys, and carries out, on the way, the
// compaction that was scheduled there: what it had left to remove is not stored.
//
//	for all versions, by key, then revision   b.Add(...)
//	b.Flush()
//	for all that b gave to later, by key      b.Put(...)
//	b.Finish(revision)
//
// What is stored by revision or by lease comes in the order of neither; the caller
// sorts it, so that the engine, too, is written in its order.
type Builder struct {
	engine    *engine.Engine
	compacted int64
	attach    func(lease int64) bool
	later     func(key, value []byte) error

	batch *engine.Batch
	// key is the one whose versions are coming, and last the newest of them so far,
	// which is not stored yet: only its successor tells whether it stays.
	key     []byte
	last    builtVersion
	any     bool
	pending bool

	leaf     []byte // border of the leaf that is being filled
	leafKeys int64
	stats    BuildStats

	keyBuf, valueBuf []byte
}

// BuildStats tells what a Builder has stored.
type BuildStats struct {
	// Versions are those stored, Removed those that a compaction had left over, and
	// Keys the live keys.
	Versions, Removed, Keys int64
}

type builtVersion struct {
	rev     Revision
	deleted bool
	kv      []byte
	parsed  wire.KeyValue
	prev    Revision // what it replaced
	kind    Kind
}

// buildBatch is how much a Builder commits at a time.
const buildBatch = 4 << 20

// NewBuilder returns a Builder for a key space whose scheduled compaction is compacted,
// -1 if there is none. attach tells whether a lease exists; later takes what must
// be sorted before it is put.
func NewBuilder(e *engine.Engine, compacted int64, attach func(lease int64) bool, later func(key, value []byte) error) *Builder {
	return &Builder{engine: e, compacted: compacted, attach: attach, later: later, batch: e.NewBatch()}
}

// Add takes the next version, by key and then by revision. kv is as Version.KV; it is
// copied.
func (b *Builder) Add(rev Revision, deleted bool, kv []byte) error {
	parsed, err := wire.ParseKeyValue(kv)
	if err != nil {
		return fmt.Errorf("mvcc: the record at %v: %w", rev, err)
	}
	if parsed.Size() != len(kv) || !bytes.Equal(parsed.Key, wire.KeyOf(kv)) {
		return fmt.Errorf("mvcc: the record at %v is not in the form that etcd writes", rev)
	}
	if rev.Main < 1 || rev.Sub < 0 || rev.Sub >= maxSub {
		return fmt.Errorf("mvcc: a record at revision %v, which cannot be", rev)
	}
	if !deleted && len(kv) > 0 && parsed.Mod != rev.Main {
		return fmt.Errorf("mvcc: the record at %v says that it is of revision %d", rev, parsed.Mod)
	}
	same := b.any && bytes.Equal(parsed.Key, b.key)
	if same && !b.last.rev.Less(rev) {
		return fmt.Errorf("mvcc: two records of %q at %v and %v, out of order", parsed.Key, b.last.rev, rev)
	}
	if !same {
		if err := b.endKey(); err != nil {
			return err
		}
		b.key = append(b.key[:0], parsed.Key...)
	}
	next := builtVersion{rev: rev, deleted: deleted}
	next.kind, next.prev = b.judge(same, &next, parsed)
	if err := b.settle(same && rev.Main <= b.compacted); err != nil {
		return err
	}
	next.kv = append(b.last.kv[:0], kv...)
	next.parsed = parsed
	next.parsed.Key, next.parsed.Value = nil, nil
	b.last, b.any, b.pending = next, true, true
	return nil
}

// judge tells what a version did, and to which: the newest version before it, if
// that was not a deletion. Before the compacted revision that may be gone.
func (b *Builder) judge(same bool, next *builtVersion, parsed wire.KeyValue) (Kind, Revision) {
	live := same && !b.last.deleted
	switch {
	case next.deleted && live:
		return KindDelete, b.last.rev
	case next.deleted:
		return KindDelete, Revision{}
	case live:
		return KindUpdate, b.last.rev
	case !same && parsed.Version > 1:
		return KindUpdate, Revision{}
	}
	return KindCreate, Revision{}
}

// settle stores the last version, or drops it: when a compaction has, or should have,
// removed it.
func (b *Builder) settle(superseded bool) error {
	if !b.pending {
		return nil
	}
	b.pending = false
	if superseded || b.last.deleted && b.last.rev.Main < b.compacted {
		b.stats.Removed++
		return nil
	}
	b.stats.Versions++
	return b.store(&b.last)
}

func (b *Builder) store(v *builtVersion) error {
	b.keyBuf = engine.AppendVersionKey(b.keyBuf[:0], b.key, v.rev.Main, v.rev.Sub)
	b.valueBuf = append(append(b.valueBuf[:0], byte(v.kind)), v.kv...)
	if err := b.Put(b.keyBuf, b.valueBuf); err != nil {
		return err
	}
	c := change{rev: v.rev, kind: v.kind, prev: v.prev, key: b.key, crc: crc32.Checksum(v.kv, castagnoli), size: len(v.kv)}
	b.keyBuf = engine.AppendRevisionKey(b.keyBuf[:0], v.rev.Main, v.rev.Sub)
	b.valueBuf = appendChange(b.valueBuf[:0], &c)
	return b.later(b.keyBuf, b.valueBuf)
}

// endKey settles the newest version of a key, and what follows from it.
func (b *Builder) endKey() error {
	if !b.any {
		return nil
	}
	newest := b.last
	if err := b.settle(false); err != nil {
		return err
	}
	if newest.deleted || len(b.key) == 0 {
		return nil // the empty key is a restore's mark in the history, and no key
	}
	b.stats.Keys++
	if newest.parsed.Lease != 0 && b.attach(newest.parsed.Lease) {
		b.keyBuf = appendAttachmentKey(b.keyBuf[:0], newest.parsed.Lease, b.key)
		if err := b.later(b.keyBuf, nil); err != nil {
			return err
		}
	}
	if b.leafKeys == leafKeys {
		if err := b.endLeaf(); err != nil {
			return err
		}
		b.leaf, b.leafKeys = bytes.Clone(b.key), 0
	}
	b.leafKeys++
	return nil
}

func (b *Builder) endLeaf() error {
	return b.later(engine.Key(engine.ClassCount, b.leaf), appendCount(b.leafKeys))
}

// Flush ends the adding of versions.
func (b *Builder) Flush() error {
	if err := b.endKey(); err != nil {
		return err
	}
	return b.endLeaf()
}

// Put stores a record.
func (b *Builder) Put(key, value []byte) error {
	if err := b.batch.Set(key, value, nil); err != nil {
		return err
	}
	if b.batch.Len() < buildBatch {
		return nil
	}
	return b.commit()
}

func (b *Builder) commit() error {
	full := b.batch
	b.batch = b.engine.NewBatch()
	return b.engine.Commit(full)
}

// Finish stores what is known of the key space as a whole: its current revision, and
// that the compaction is carried out.
func (b *Builder) Finish(revision int64) error {
	current := binary.BigEndian.AppendUint64(nil, uint64(revision))
	if err := b.Put(engine.Key(engine.ClassMeta, []byte(metaRevision)), current); err != nil {
		return err
	}
	if b.compacted >= 0 {
		c := compaction{scheduled: b.compacted, finished: b.compacted}
		if err := c.write(b.batch); err != nil {
			return err
		}
	}
	return b.engine.Commit(b.batch)
}

// Discard gives a Builder up after an error.
func (b *Builder) Discard() error { return b.batch.Close() }

// Stats tells what was stored so far.
func (b *Builder) Stats() BuildStats { return b.stats }
