package exchange

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// element is a record of a leaf.
type element struct {
	flags      uint32
	key, value []byte
	offset     int64 // of the element, in the file
}

// walk goes through one tree in the order of keys. It holds one page of each level,
// and meets each page at most once, so that a damaged tree ends.
type walk struct {
	db      *database
	seen    []uint64 // a bit for each page
	buffers [maxDepth][]byte
	last    []byte
	started bool
}

func (db *database) newWalk() *walk {
	return &walk{db: db, seen: make([]uint64, db.pages/bits.UintSize+1)}
}

// page walks the tree below a page.
func (w *walk) page(id uint64, depth int, f func(element) error) error {
	db := w.db
	if id < 2 || id >= db.pages {
		return db.damaged(0, "page %d does not exist: there are %d", id, db.pages)
	}
	offset := int64(id) * db.pageSize
	if depth >= maxDepth {
		return db.damaged(offset, "page %d lies too deep", id)
	}
	if w.seen[id/bits.UintSize]&(1<<(id%bits.UintSize)) != 0 {
		return db.damaged(offset, "page %d is part of two places", id)
	}
	w.seen[id/bits.UintSize] |= 1 << (id % bits.UintSize)
	b, err := w.read(id, offset, depth)
	if err != nil {
		return err
	}
	err = w.node(b, offset, depth, f)
	if len(b) > largeNode {
		w.buffers[depth] = nil
	}
	return err
}

// read reads a page with those that continue it.
func (w *walk) read(id uint64, offset int64, depth int) ([]byte, error) {
	db := w.db
	if int64(len(w.buffers[depth])) < db.pageSize {
		w.buffers[depth] = make([]byte, db.pageSize)
	}
	b := w.buffers[depth][:db.pageSize]
	if _, err := db.file.ReadAt(b, offset); err != nil {
		return nil, err
	}
	if got := binary.LittleEndian.Uint64(b); got != id {
		return nil, db.damaged(offset, "page %d says that it is page %d", id, got)
	}
	more := uint64(binary.LittleEndian.Uint32(b[12:]))
	if more == 0 {
		return b, nil
	}
	size := int64(more+1) * db.pageSize
	isBranch := binary.LittleEndian.Uint16(b[8:]) == pageBranch
	if id+more >= db.pages || size > maxNodeBytes || isBranch && size > largeNode {
		return nil, db.damaged(offset, "page %d goes on for %d pages", id, more)
	}
	if int64(len(w.buffers[depth])) < size {
		w.buffers[depth] = append(make([]byte, 0, size), b...)[:size]
	}
	b = w.buffers[depth][:size]
	_, err := db.file.ReadAt(b[db.pageSize:], offset+db.pageSize)
	return b, err
}

// node walks a page's elements.
func (w *walk) node(b []byte, offset int64, depth int, f func(element) error) error {
	if len(b) < pageHead {
		return w.db.damaged(offset, "a page of %d bytes", len(b))
	}
	count := int(binary.LittleEndian.Uint16(b[10:]))
	if pageHead+count*elementSize > len(b) {
		return w.db.damaged(offset, "%d elements in a page of %d bytes", count, len(b))
	}
	switch kind := binary.LittleEndian.Uint16(b[8:]); kind {
	case pageLeaf:
		return w.leaf(b, count, offset, f)
	case pageBranch:
		return w.branch(b, count, offset, depth, f)
	default:
		return w.db.damaged(offset, "a page of unknown kind %#x", kind)
	}
}

func (w *walk) leaf(b []byte, count int, offset int64, f func(element) error) error {
	u32 := binary.LittleEndian.Uint32
	for i := range count {
		at := pageHead + i*elementSize
		e := b[at:]
		start := uint64(at) + uint64(u32(e[4:]))
		keyEnd := start + uint64(u32(e[8:]))
		end := keyEnd + uint64(u32(e[12:]))
		if end > uint64(len(b)) || start < uint64(pageHead+count*elementSize) {
			return w.db.damaged(offset+int64(at), "an element that lies outside of its page")
		}
		el := element{flags: u32(e), key: b[start:keyEnd:keyEnd], value: b[keyEnd:end:end], offset: offset + int64(at)}
		if w.started && bytes.Compare(w.last, el.key) >= 0 {
			return w.db.damaged(el.offset, "key %q does not follow %q", cut(el.key), cut(w.last))
		}
		w.last, w.started = append(w.last[:0], el.key...), true
		if err := f(el); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) branch(b []byte, count int, offset int64, depth int, f func(element) error) error {
	if count == 0 {
		return w.db.damaged(offset, "a branch without elements")
	}
	for i := range count {
		at := pageHead + i*elementSize
		// The keys of branches only help to seek.
		if err := w.page(binary.LittleEndian.Uint64(b[at+8:]), depth+1, f); err != nil {
			return err
		}
	}
	return nil
}
