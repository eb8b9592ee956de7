package exchange

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/engine"
)

// TestDamagedSnapshots flips or cuts each kind of byte of a snapshot. With its digest
// all is found; without, what would lead astray: values have no checksum of their own.
func TestDamagedSnapshots(t *testing.T) {
	source := unpackSnapshot(t, "snapshot-3.7")
	whole, err := os.ReadFile(source)
	must(t, err)
	root := keyRoot(t, source)
	db, err := openDatabase(source)
	must(t, err)
	defer db.close()
	pageSize := db.pageSize
	firstLeaf := root
	if whole[root+8] == pageBranch {
		firstLeaf = int64(whole[root+pageHead+8]) * pageSize
	}
	flipAt := func(offsets ...int64) func([]byte) []byte {
		return func(b []byte) []byte {
			for _, at := range offsets {
				b[at] ^= 0x40
			}
			return b
		}
	}
	for _, c := range []struct {
		name   string
		spoil  func([]byte) []byte
		digest string // the error with the digest looked at
		raw    string // and without
	}{
		{"both meta pages", flipAt(pageHead, pageSize+pageHead), "expected sha256", "invalid database"},
		{"a page's number", flipAt(root), "expected sha256", "says that it is page"},
		{"a page's kind", flipAt(root + 8), "expected sha256", "unknown kind"},
		{"a page's count", flipAt(firstLeaf + 11), "expected sha256", "elements in a page"},
		{"a page's length", flipAt(root + 14), "expected sha256", "goes on for"},
		{"an element's key size", flipAt(firstLeaf + pageHead + 10), "expected sha256", "outside of its page"},
		{"an element's place", flipAt(firstLeaf + pageHead + 6), "expected sha256", "outside of its page"},
		{"a revision", flipAt(firstLeaf + pageHead + elementAt(whole, firstLeaf, 1) + 8), "expected sha256", "cannot be read"},
		{"the digest", flipAt(int64(len(whole)) - 5), "expected sha256", ""},
		{"cut in the digest", func(b []byte) []byte { return b[:len(b)-7] }, "snapshot missing hash", ""},
		{"cut at the digest", func(b []byte) []byte { return b[:len(b)-32] }, "snapshot missing hash", ""},
		{"cut in a page", func(b []byte) []byte { return b[:5*pageSize+100] }, "snapshot missing hash", "the file ends here"},
		{"cut with 32 bytes over", func(b []byte) []byte { return b[:5*pageSize+32] }, "expected sha256", "the file ends here"},
		{"cut in the first page", func(b []byte) []byte { return b[:50] }, "snapshot missing hash", "invalid database"},
		{"empty", func([]byte) []byte { return nil }, "snapshot missing hash", "invalid database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "damaged.db")
			must(t, os.WriteFile(name, c.spoil(append([]byte(nil), whole...)), 0o600))
			for _, how := range []struct {
				skip bool
				want string
			}{{false, c.digest}, {true, c.raw}} {
				dir := filepath.Join(t.TempDir(), "data")
				_, err := Restore(t.Context(), RestoreOptions{Source: name, DataDir: dir, Name: "a", Members: initialOf("a"), SkipDigest: how.skip})
				if how.want == "" {
					must(t, err)
					continue
				}
				if err == nil || !strings.Contains(err.Error(), how.want) {
					t.Errorf("skip %v: got %v, want %q", how.skip, err, how.want)
				}
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Errorf("%s is left", dir)
				}
			}
			if c.raw == "" {
				return
			}
			if _, err := ReadStatus(t.Context(), name, time.Second); err == nil || !strings.Contains(err.Error(), c.raw) && !strings.Contains(err.Error(), "is no revision") {
				t.Errorf("status: %v, want %q", err, c.raw)
			}
		})
	}
}

// elementAt is where the i-th element's record is, from the elements' beginning.
func elementAt(b []byte, page int64, i int) int64 {
	at := page + pageHead + int64(i)*elementSize
	return int64(i)*elementSize + int64(uint32(b[at+4])|uint32(b[at+5])<<8)
}

// TestDamageNamesTheFile looks at the words of an error.
func TestDamageNamesTheFile(t *testing.T) {
	err := error(&DamageError{File: "backup.db", Offset: 4096, Reason: "x"})
	if want := "backup.db is damaged at offset 4096: x; use another backup, or take a new one from a running member"; err.Error() != want {
		t.Errorf("got %q", err)
	}
}

// TestEveryByteOfAPage flips bytes at random and looks only for panics, endless loops
// and errors that say nothing.
func TestEveryByteOfAPage(t *testing.T) {
	source := unpackSnapshot(t, "snapshot-3.4")
	whole, err := os.ReadFile(source)
	must(t, err)
	random := rand.New(rand.NewPCG(7, 7))
	name := filepath.Join(t.TempDir(), "damaged.db")
	refused := 0
	for i := range 300 {
		b := append([]byte(nil), whole...)
		for range 1 + i%4 {
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		}
		must(t, os.WriteFile(name, b, 0o600))
		db, err := openDatabase(name)
		if err == nil {
			_, err = db.readRecords()
			if err == nil {
				err = db.each("key", func(_, _ []byte) error { return nil })
			}
			must(t, db.close())
		}
		if err == nil {
			continue
		}
		refused++
		var damage *DamageError
		if !errors.As(err, &damage) && !errors.Is(err, ErrNotDatabase) && !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
	if refused == 0 {
		t.Error("nothing was found damaged")
	}
}

func FuzzDatabase(f *testing.F) {
	source := unpackSnapshot(f, "snapshot-3.4")
	whole, err := os.ReadFile(source)
	must(f, err)
	f.Add(uint32(4096*3+8), uint64(1))
	f.Fuzz(func(t *testing.T, at uint32, bits uint64) {
		b := append([]byte(nil), whole...)
		for i := range 8 {
			b[(int(at)+i)%len(b)] ^= byte(bits >> (8 * i))
		}
		name := filepath.Join(t.TempDir(), "f.db")
		must(t, os.WriteFile(name, b, 0o600))
		db, err := openDatabase(name)
		if err != nil {
			return
		}
		defer db.close()
		records, err := db.readRecords()
		if err != nil {
			return
		}
		dir := t.TempDir()
		e, err := engine.Open(filepath.Join(dir, "e"), engine.Options{})
		must(t, err)
		defer e.Close()
		if _, _, err := importKeys(t.Context(), db, records, e, importOptions{dir: dir}); err != nil && fmt.Sprint(err) == "" {
			t.Error("an error without words")
		}
	})
}
