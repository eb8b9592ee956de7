package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// etcd's database is a bbolt file: pages that form trees of sorted records, one tree
// for each bucket. It is read here page by page rather than through bbolt, which
// maps the whole file, and panics where it is damaged: a backup is just what one has
// to read after an accident.
//
// A page begins with its number (8 bytes), kind (2), number of elements (2) and number
// of further pages that continue it (4). Integers are little endian.
const (
	pageHead     = 16
	elementSize  = 16
	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageMeta     = 0x04
	metaSize     = 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	bucketHead   = 16
	leafIsBucket = 0x01

	minPageBytes = 512
	maxPageBytes = 1 << 20
	// maxNodeBytes bounds one page with all that continue it, which is held in
	// memory: more than any record that etcd takes.
	maxNodeBytes = 256 << 20
	// largeNode is from where on memory is given back at once. Branches are smaller.
	largeNode = 4 << 20
	// maxDepth bounds a tree: each level multiplies, so that no file is deeper.
	maxDepth = 32
)

// DamageError says that a file is not what it should be.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s; use another backup, or take a new one from a running member",
		e.File, e.Offset, e.Reason)
}

// ErrNotDatabase is returned for a file that does not begin as a database does.
var ErrNotDatabase = errors.New("invalid database")

// database is an opened bbolt file, read only.
type database struct {
	name     string
	file     *os.File
	fileSize int64
	pageSize int64
	pages    uint64 // pages in use; those behind are not part of the database
	buckets  map[string]bucket
}

// bucket is where the records of a bucket begin: a page, or a small page inside the
// record that names the bucket.
type bucket struct {
	root   uint64
	inline []byte
	offset int64 // of inline, in the file
}

// openDatabase opens a database, which a digest or anything else may follow.
func openDatabase(name string) (*database, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return loadDatabase(name, f)
}

// loadDatabase is openDatabase of an open file, which it takes over.
func loadDatabase(name string, f *os.File) (*database, error) {
	db := &database{name: name, file: f}
	if err := db.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return db, nil
}

func (db *database) close() error { return db.file.Close() }

// size is that of the database, without what follows it.
func (db *database) size() int64 { return int64(db.pages) * db.pageSize }

func (db *database) damaged(offset int64, format string, args ...any) error {
	return &DamageError{File: db.name, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// meta is the part of a meta page that says where everything begins.
type meta struct {
	pageSize uint32
	root     uint64
	pages    uint64
	txid     uint64
}

// parseMeta reads a meta page; ok is false if it is none, or was not written to
// its end.
func parseMeta(b []byte) (m meta, ok bool) {
	if len(b) < pageHead+metaSize || binary.LittleEndian.Uint16(b[8:])&pageMeta == 0 {
		return m, false
	}
	b = b[pageHead : pageHead+metaSize]
	h := fnv.New64a()
	h.Write(b[:metaSize-8])
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if u32(b) != metaMagic || u32(b[4:]) != metaVersion || u64(b[metaSize-8:]) != h.Sum64() {
		return m, false
	}
	m = meta{pageSize: u32(b[8:]), root: u64(b[16:]), pages: u64(b[40:]), txid: u64(b[48:])}
	size := m.pageSize
	return m, size >= minPageBytes && size <= maxPageBytes && size&(size-1) == 0
}

// load finds the newest of the two meta pages, and the buckets.
func (db *database) load() error {
	info, err := db.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a file", ErrNotDatabase, db.name)
	}
	db.fileSize = info.Size()
	newest, found := meta{}, false
	take := func(offset int64) error {
		b := make([]byte, pageHead+metaSize)
		switch _, err := db.file.ReadAt(b, offset); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if m, ok := parseMeta(b); ok && (offset == 0 || int64(m.pageSize) == offset) && (!found || m.txid > newest.txid) {
			newest, found = m, true
		}
		return nil
	}
	// The second page is where the page size says, which only the first one knows.
	for offset := int64(0); offset <= maxPageBytes; offset = max(2*offset, minPageBytes) {
		if err := take(offset); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%w: %s does not begin as one", ErrNotDatabase, db.name)
	}
	db.pageSize, db.pages = int64(newest.pageSize), newest.pages
	if db.pages > uint64(db.fileSize/db.pageSize) {
		return db.damaged(db.fileSize, "the file ends here, but the database has %d pages of %d bytes", db.pages, db.pageSize)
	}
	return db.loadBuckets(newest.root)
}

// maxBuckets is far more than etcd's ten.
const maxBuckets = 1000

func (db *database) loadBuckets(root uint64) error {
	db.buckets = make(map[string]bucket)
	w := db.newWalk()
	return w.page(root, 0, func(e element) error {
		if e.flags&leafIsBucket == 0 || len(e.value) < bucketHead || len(db.buckets) >= maxBuckets {
			return db.damaged(e.offset, "%q is not a bucket", cut(e.key))
		}
		b := bucket{root: binary.LittleEndian.Uint64(e.value), offset: e.offset}
		if b.root == 0 {
			b.inline = append([]byte(nil), e.value[bucketHead:]...)
		}
		db.buckets[string(e.key)] = b
		return nil
	})
}

// each calls f with every record of a bucket, in order; a bucket that is missing is
// empty. The bytes are valid only during the call.
func (db *database) each(name string, f func(key, value []byte) error) error {
	return db.eachElement(name, func(e element) error { return f(e.key, e.value) })
}

// eachElement is each that tells where a record is.
func (db *database) eachElement(name string, f func(element) error) error {
	b, ok := db.buckets[name]
	if !ok {
		return nil
	}
	w := db.newWalk()
	take := func(e element) error {
		if e.flags&leafIsBucket != 0 {
			return db.damaged(e.offset, "bucket %q holds a bucket", name)
		}
		return f(e)
	}
	if b.root == 0 {
		return w.node(b.inline, b.offset, 0, take)
	}
	return w.page(b.root, 0, take)
}

// cut shortens a key for a message.
func cut(b []byte) []byte { return b[:min(len(b), 64)] }
