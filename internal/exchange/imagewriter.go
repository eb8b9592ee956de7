package exchange

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
)

const (
	// imagePageBytes is what etcd's databases have on most machines. A reader takes it
	// from the file.
	imagePageBytes = 4 << 10
	// imageFirst is the number of the first page behind the two that say where everything is.
	imageFirst = 2
	// noFreelist says that no page lists those that are free, as etcd does: there are none.
	noFreelist = ^uint64(0)
	// leastChildren is how many a branch has at least.
	leastChildren = 2
)

// imageWriter writes a database from its beginning to its end, each page once. One
// goroutine uses it. After an error the file is of no use.
type imageWriter struct {
	file io.WriterAt
	w    *bufio.Writer
	next uint64 // page to be written
	// roots are the first pages of the buckets, by name.
	roots map[string]uint64
	zeros [imagePageBytes]byte
}

func newImageWriter(f interface {
	io.Writer
	io.WriterAt
}) *imageWriter {
	w := &imageWriter{file: f, w: bufio.NewWriterSize(f, 256<<10), roots: make(map[string]uint64)}
	w.pad(imageFirst * imagePageBytes) // an error shows at the end
	w.next = imageFirst
	return w
}

// pad writes zeros.
func (w *imageWriter) pad(n int) error {
	for n > 0 {
		m := min(n, len(w.zeros))
		if _, err := w.w.Write(w.zeros[:m]); err != nil {
			return err
		}
		n -= m
	}
	return nil
}

// page writes what a page begins with, its elements, and what they point to. It returns
// the page's number.
func (w *imageWriter) page(kind uint16, elements, data []byte) (uint64, error) {
	size := pageHead + len(elements) + len(data)
	pages := uint64(max(1, (size+imagePageBytes-1)/imagePageBytes))
	var head [pageHead]byte
	number := w.next
	binary.LittleEndian.PutUint64(head[:], number)
	binary.LittleEndian.PutUint16(head[8:], kind)
	binary.LittleEndian.PutUint16(head[10:], uint16(len(elements)/elementSize))
	binary.LittleEndian.PutUint32(head[12:], uint32(pages-1))
	w.next += pages
	for _, part := range [][]byte{head[:], elements, data} {
		if _, err := w.w.Write(part); err != nil {
			return 0, err
		}
	}
	return number, w.pad(int(pages)*imagePageBytes - size)
}

// close writes the tree of buckets, and where it is. The file is not synced.
func (w *imageWriter) close() error {
	root := treeWriter{to: w}
	for _, name := range slices.Sorted(maps.Keys(w.roots)) {
		head := binary.LittleEndian.AppendUint64(make([]byte, 0, bucketHead), w.roots[name])
		head = binary.LittleEndian.AppendUint64(head, 0) // a sequence that etcd does not use
		if err := root.add(leafIsBucket, []byte(name), head); err != nil {
			return err
		}
	}
	at, err := root.finish()
	if err == nil {
		err = w.w.Flush()
	}
	for number := range uint64(imageFirst) {
		page := appendMeta(make([]byte, 0, imagePageBytes), number, at, w.next)
		_, werr := w.file.WriteAt(page, int64(number)*imagePageBytes)
		err = errors.Join(err, werr)
	}
	return err
}

// appendMeta appends a page that says where everything is: the tree of buckets, and the
// end. Of the two the one with the higher transaction, here its number, counts.
func appendMeta(b []byte, number, root, end uint64) []byte {
	u16, u32, u64 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	b = u32(u16(u16(u64(b, number), pageMeta), 0), 0)
	at := len(b)
	b = u32(u32(u32(u32(b, metaMagic), metaVersion), imagePageBytes), 0)
	for _, v := range []uint64{root, 0, noFreelist, end, number} {
		b = u64(b, v)
	}
	h := fnv.New64a()
	h.Write(b[at:])
	return u64(b, h.Sum64())
}

// bucket begins a bucket, whose records follow in the order of their keys. One bucket is
// written at a time.
func (w *imageWriter) bucket(name string) *bucketWriter {
	return &bucketWriter{treeWriter{to: w}, name}
}

// bucketWriter writes the records of one bucket.
type bucketWriter struct {
	tree treeWriter
	name string
}

// put writes a record. Nothing is kept of what it is given.
func (b *bucketWriter) put(key, value []byte) error { return b.tree.add(0, key, value) }

// finish ends the bucket, which may be empty.
func (b *bucketWriter) finish() error {
	root, err := b.tree.finish()
	b.tree.to.roots[b.name] = root
	return err
}

// treeWriter writes sorted records into leaves, and branches above them as leaves become
// complete, so that it holds one page of each level.
type treeWriter struct {
	to     *imageWriter
	levels []*level // leaves first
}

// level is the page of a level that is being filled. The elements' positions count from
// the beginning of data until the page is written.
type level struct {
	kind     uint16
	elements []byte
	data     []byte
	last     []byte // key
	pages    int    // that were written
}

func (t *treeWriter) level(i int) *level {
	if i == len(t.levels) {
		l := &level{kind: pageBranch}
		if i == 0 {
			l.kind = pageLeaf
		}
		t.levels = append(t.levels, l)
	}
	return t.levels[i]
}

func (t *treeWriter) add(flags uint32, key, value []byte) error {
	l := t.level(0)
	if len(key) == 0 || (l.pages > 0 || len(l.elements) > 0) && bytes.Compare(l.last, key) >= 0 {
		return fmt.Errorf("record %q is not in order", cut(key))
	}
	if l.full(len(key) + len(value)) {
		if err := t.write(0, 0); err != nil {
			return err
		}
	}
	u32 := binary.LittleEndian.AppendUint32
	l.elements = u32(u32(u32(u32(l.elements, flags), uint32(len(l.data))), uint32(len(key))), uint32(len(value)))
	l.data = append(append(l.data, key...), value...)
	l.last = append(l.last[:0], key...)
	return nil
}

// child adds a page that begins with a key to a level of branches. When one is full, all
// but its last child is written, so that no branch is left with one.
func (t *treeWriter) child(i int, key []byte, page uint64) error {
	l := t.level(i)
	if l.full(len(key)) && l.count() > leastChildren {
		if err := t.write(i, 1); err != nil {
			return err
		}
	}
	l.elements = binary.LittleEndian.AppendUint32(l.elements, uint32(len(l.data)))
	l.elements = binary.LittleEndian.AppendUint32(l.elements, uint32(len(key)))
	l.elements = binary.LittleEndian.AppendUint64(l.elements, page)
	l.data = append(l.data, key...)
	return nil
}

func (l *level) count() int { return len(l.elements) / elementSize }

// full tells that a further element does not fit. A page of one has the size it needs.
func (l *level) full(bytes int) bool {
	return l.count() > 0 && pageHead+len(l.elements)+elementSize+len(l.data)+bytes > imagePageBytes
}

// positionAt is where in an element of this kind the position of its data stands, which the
// length of the key follows.
func (l *level) positionAt() int {
	if l.kind == pageLeaf {
		return 4
	}
	return 0
}

// write writes the page of a level without its last elements, which begin the next one.
func (t *treeWriter) write(i, keep int) error {
	l := t.levels[i]
	n, at := l.count()-keep, l.positionAt()
	end := len(l.data)
	if keep > 0 {
		end = int(binary.LittleEndian.Uint32(l.elements[n*elementSize+at:]))
	}
	elements := l.elements[:n*elementSize]
	first := []byte(nil)
	for k := 0; k < n; k++ {
		e := elements[k*elementSize+at:]
		position := binary.LittleEndian.Uint32(e)
		if k == 0 {
			first = l.data[:binary.LittleEndian.Uint32(e[4:])]
		}
		binary.LittleEndian.PutUint32(e, uint32((n-k)*elementSize)+position)
	}
	page, err := t.to.page(l.kind, elements, l.data[:end])
	if err != nil {
		return err
	}
	l.pages++
	if err := t.child(i+1, first, page); err != nil {
		return err
	}
	l.elements = append(l.elements[:0], l.elements[n*elementSize:]...)
	l.data = append(l.data[:0], l.data[end:]...)
	for k := range keep {
		e := l.elements[k*elementSize+at:]
		binary.LittleEndian.PutUint32(e, binary.LittleEndian.Uint32(e)-uint32(end))
	}
	return nil
}

// finish writes what is left, and returns the page that the tree begins at.
func (t *treeWriter) finish() (root uint64, err error) {
	t.level(0)
	for i := 0; ; i++ {
		if err := t.write(i, 0); err != nil {
			return 0, err
		}
		if t.levels[i].pages == 1 {
			return binary.LittleEndian.Uint64(t.levels[i+1].elements[8:]), nil
		}
	}
}
