package exchange

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// writtenImage writes records, whose buckets and keys are in order, to a database.
func writtenImage(t *testing.T, buckets []string, each func(bucket string, put func(key, value []byte))) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.db"))
	must(t, err)
	w := newImageWriter(f)
	for _, name := range buckets {
		b := w.bucket(name)
		each(name, func(key, value []byte) { must(t, b.put(key, value)) })
		must(t, b.finish())
	}
	must(t, w.close())
	must(t, f.Close())
	return f.Name()
}

// TestImagesOfEverySize writes trees of one level and of several, with records from nothing to
// many pages, and has bbolt check and read them, and write to them.
func TestImagesOfEverySize(t *testing.T) {
	for name, c := range map[string]struct {
		records  int
		key      func(i int) []byte
		maxValue int
	}{
		"none":           {0, nil, 0},
		"one":            {1, number, 0},
		"a page":         {60, number, 20},
		"two levels":     {5_000, number, 600},
		"three levels":   {100_000, number, 100},
		"large values":   {40, number, 100_000},
		"long keys":      {3_000, longKey, 10},
		"very long keys": {200, veryLongKey, 10},
	} {
		t.Run(name, func(t *testing.T) {
			value := func(i int) []byte {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				return bytes.Repeat([]byte{byte(i)}, r.IntN(c.maxValue+1))
			}
			file := writtenImage(t, []string{"empty", "full"}, func(bucket string, put func(key, value []byte)) {
				if bucket == "empty" {
					return
				}
				for i := range c.records {
					put(c.key(i), value(i))
				}
			})
			ours, err := openDatabase(file)
			must(t, err)
			defer ours.close()
			if ours.size() != ours.fileSize {
				t.Errorf("the database ends at %d of %d", ours.size(), ours.fileSize)
			}
			db, err := bolt.Open(file, 0o600, nil)
			must(t, err)
			defer db.Close()
			must(t, db.View(func(tx *bolt.Tx) error {
				for err := range tx.Check() {
					t.Error(err)
				}
				if tx.Bucket([]byte("empty")).Stats().KeyN != 0 {
					t.Error("records in the empty bucket")
				}
				i := 0
				err := tx.Bucket([]byte("full")).ForEach(func(k, v []byte) error {
					if !bytes.Equal(k, c.key(i)) || !bytes.Equal(v, value(i)) {
						return fmt.Errorf("record %d is %q with %d bytes", i, cut(k), len(v))
					}
					i++
					return nil
				})
				if err == nil && i != c.records {
					err = fmt.Errorf("%d records, want %d", i, c.records)
				}
				return err
			}))
			must(t, db.Update(func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte("full"))
				for i := 0; i < c.records; i += 2 {
					if err := b.Delete(c.key(i)); err != nil {
						return err
					}
				}
				return b.Put([]byte("zz"), make([]byte, 10_000))
			}))
			must(t, db.View(func(tx *bolt.Tx) error {
				for err := range tx.Check() {
					t.Error("after a change:", err)
				}
				if n, want := tx.Bucket([]byte("full")).Stats().KeyN, c.records/2+1; n != want {
					t.Errorf("%d records after a change, want %d", n, want)
				}
				return nil
			}))
		})
	}
}

func number(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

func longKey(i int) []byte { return append(number(i), bytes.Repeat([]byte{'k'}, 900)...) }

func veryLongKey(i int) []byte { return append(number(i), bytes.Repeat([]byte{'k'}, i%7*4_000)...) }

func TestRecordsOutOfOrderAreRefused(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "image.db"))
	must(t, err)
	defer f.Close()
	b := newImageWriter(f).bucket("b")
	must(t, b.put([]byte("b"), nil))
	for _, key := range []string{"", "a", "b"} {
		if b.put([]byte(key), nil) == nil {
			t.Errorf("%q was taken after b", key)
		}
	}
	must(t, b.put([]byte("c"), nil))
}
