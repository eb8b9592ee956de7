package mvcc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"bowline/internal/engine"
	"bowline/internal/wire"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// version is one version of a key. Its bytes are never modified once it exists.
type version struct {
	rev Revision
	meta
	// stored is the record as the engine has it: a kind byte, then the encoded
	// mvccpb.KeyValue (of a deletion, only its key field). The cache may have let
	// it go; then it is nil and only the rest is known.
	stored []byte
}

// meta is what the next put of a key needs to know of its newest version.
type meta struct {
	kind                   Kind
	create, version, lease int64
}

// parseVersion makes a version of a stored record, which it keeps.
func parseVersion(rev Revision, stored []byte) (version, error) {
	v := version{rev: rev, stored: stored}
	if len(stored) == 0 {
		return version{}, fmt.Errorf("mvcc: empty version record at %v", rev)
	}
	kv, err := wire.ParseKeyValue(stored[1:])
	if err != nil {
		return version{}, fmt.Errorf("mvcc: version record at %v: %w", rev, err)
	}
	v.meta = meta{kind: Kind(stored[0]), create: kv.Create, version: kv.Version, lease: kv.Lease}
	return v, nil
}

// kv is the encoded mvccpb.KeyValue.
func (v version) kv() []byte { return v.stored[1:] }

func (v version) live() bool { return v.kind == KindCreate || v.kind == KindUpdate }

// change is a revision record: what one change did, and what it replaced.
type change struct {
	rev  Revision
	kind Kind
	prev Revision
	key  []byte
	// crc and size describe the record as etcd would store it, so that HashKV
	// needs no values.
	crc  uint32
	size int
}

func appendChange(dst []byte, c *change) []byte {
	dst = append(dst, byte(c.kind))
	dst = binary.AppendUvarint(dst, uint64(c.prev.Main))
	dst = binary.AppendUvarint(dst, uint64(c.prev.Sub))
	dst = binary.LittleEndian.AppendUint32(dst, c.crc)
	dst = binary.AppendUvarint(dst, uint64(c.size))
	return append(dst, c.key...)
}

// parseChange decodes a revision record; the key shares value's bytes.
func parseChange(stored, value []byte) (c change, err error) {
	if c.rev.Main, c.rev.Sub, err = engine.ParseRevisionKey(stored); err != nil {
		return change{}, err
	}
	bad := func() (change, error) {
		return change{}, fmt.Errorf("mvcc: damaged revision record %v: %x", c.rev, value)
	}
	if len(value) == 0 {
		return bad()
	}
	c.kind = Kind(value[0])
	b := value[1:]
	next := func() int64 {
		n, used := binary.Uvarint(b)
		if used <= 0 {
			b = nil
			return -1
		}
		b = b[used:]
		return int64(n)
	}
	c.prev.Main, c.prev.Sub = next(), next()
	if len(b) < 4 || c.prev.Main < 0 || c.prev.Sub < 0 {
		return bad()
	}
	c.crc = binary.LittleEndian.Uint32(b)
	b = b[4:]
	size := next()
	if size < 0 || c.kind < KindCreate || c.kind > KindDelete {
		return bad()
	}
	c.size, c.key = int(size), b
	return c, nil
}

// event turns a change and its stored version into what watchers see.
func (c *change) event(kv []byte) Event {
	e := Event{Key: c.key, Revision: c.rev, Kind: c.kind, Prev: c.prev, KV: kv}
	if c.kind == KindDelete {
		d := wire.KeyValue{Key: c.key, Mod: c.rev.Main}
		e.KV = d.Append(make([]byte, 0, d.Size()))
	}
	return e
}

// etcdRecordKey appends the key under which etcd stores the record of a change:
// big-endian main and sub around an underscore, and a t behind a deletion.
func etcdRecordKey(dst []byte, c *change) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.rev.Main))
	dst = append(dst, '_')
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.rev.Sub))
	if c.kind == KindDelete {
		dst = append(dst, 't')
	}
	return dst
}
