package mvcc

import "fmt"

// Revision names one change to the key space: Main counts committed modifying
// requests (the revision clients see), Sub the changes inside one request, in
// execution order from 0.
type Revision struct {
	Main int64
	Sub  int64
}

// IsZero reports whether r names no revision; the first real one has Main 2.
func (r Revision) IsZero() bool { return r == Revision{} }

// Less orders revisions by Main, then Sub.
func (r Revision) Less(o Revision) bool {
	return r.Main < o.Main || r.Main == o.Main && r.Sub < o.Sub
}

func (r Revision) String() string { return fmt.Sprintf("%d.%d", r.Main, r.Sub) }

// Kind tells what a change did to its key. The numbers are stored in revision
// records.
type Kind byte

const (
	// KindCreate is a put of a key that did not exist.
	KindCreate Kind = 1
	// KindUpdate is a put of a key that existed.
	KindUpdate Kind = 2
	// KindDelete is a deletion.
	KindDelete Kind = 3
)

// Event is one change of one key, as watchers and the history see it. Its
// slices are shared by everyone who holds the event and must not be modified.
type Event struct {
	Key      []byte
	Revision Revision
	Kind     Kind
	// Prev is the version that this change replaced; zero for KindCreate.
	Prev Revision
	// KV is the encoded mvccpb.KeyValue that clients see: the whole record of a
	// put; of a deletion, the key and the mod revision.
	KV []byte
}
