package mvcc

import (
	"encoding/binary"
	"sync/atomic"
)

const (
	pageBytes = 32 << 10
	// largeRecord has a page of its own, so that no page is left half empty before it.
	largeRecord = pageBytes / 4
	// recordAlign is what offsets of records are multiples of: one in so many bytes has a
	// mark of its own.
	recordAlign = 16
)

// page has records of the cache, one behind the other. What is written in it does not
// change any more: versions that were read from it keep sharing its bytes.
//
//	record: length of the key, 1 + length of the value or 0, main, sub, create, version,
//	lease (unsigned varints), kind (a byte), the key, the value, zeros
type page struct {
	data []byte
	// used has a bit for each place where a record may begin.
	used []atomic.Uint64
}

// pageRecord is a record that was read from a page; it shares its bytes.
type pageRecord struct {
	offset, size int
	key          []byte
	version      version
}

// newPage has room for a record of so many bytes, and for more unless that is large.
func newPage(need int) *page {
	if need < largeRecord {
		need = pageBytes
	}
	return &page{data: make([]byte, 0, need), used: make([]atomic.Uint64, (need/recordAlign+63)/64)}
}

func (p *page) hasRoom(need int) bool {
	return cap(p.data)-len(p.data) >= need && need < largeRecord
}

// recordBytes is how much a record takes.
func recordBytes(key []byte, v version) int {
	var head [maxRecordHead]byte
	n := len(appendRecordHead(head[:0], key, v)) + len(key) + len(v.stored)
	return (n + recordAlign - 1) / recordAlign * recordAlign
}

const maxRecordHead = 7*binary.MaxVarintLen64 + 1

func appendRecordHead(dst []byte, key []byte, v version) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	stored := 0
	if v.stored != nil {
		stored = 1 + len(v.stored)
	}
	dst = binary.AppendUvarint(dst, uint64(stored))
	for _, n := range [...]int64{v.rev.Main, v.rev.Sub, v.create, v.meta.version, v.lease} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return append(dst, byte(v.kind))
}

// append adds a record, for which there must be room, and returns where it is.
func (p *page) append(key []byte, v version) (offset, size int) {
	offset = len(p.data)
	p.data = appendRecordHead(p.data, key, v)
	p.data = append(p.data, key...)
	p.data = append(p.data, v.stored...)
	for len(p.data)%recordAlign != 0 {
		p.data = append(p.data, 0)
	}
	return offset, len(p.data) - offset
}

// record reads the record at offset.
func (p *page) record(offset int) pageRecord {
	r := pageRecord{offset: offset}
	next := offset
	number := func() int64 {
		n, used := binary.Uvarint(p.data[next:])
		next += used
		return int64(n)
	}
	key, stored := int(number()), int(number())
	v := &r.version
	v.rev.Main, v.rev.Sub = number(), number()
	v.create, v.meta.version, v.lease = number(), number(), number()
	v.kind = Kind(p.data[next])
	next++
	r.key = p.data[next : next+key : next+key]
	next += key
	if stored > 0 {
		v.stored = p.data[next : next+stored-1 : next+stored-1]
		next += stored - 1
	}
	r.size = (next - offset + recordAlign - 1) / recordAlign * recordAlign
	return r
}

// touch marks the record at offset as used. Callers may share the page.
func (p *page) touch(offset int) {
	i := offset / recordAlign
	if word, bit := &p.used[i/64], uint64(1)<<(i%64); word.Load()&bit == 0 {
		word.Or(bit)
	}
}

func (p *page) touched(offset int) bool {
	i := offset / recordAlign
	return p.used[i/64].Load()>>(i%64)&1 != 0
}
