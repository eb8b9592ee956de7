package reclaim_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"bowline/internal/reclaim"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const mib = 1 << 20

func write(t *testing.T, name string, size int) {
	t.Helper()
	if err := os.WriteFile(name, bytes.Repeat([]byte{7}, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func absent(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", name, err)
	}
}

// spacious is a disk with room, whatever the one below has.
type spacious struct {
	vfs.FS
	free uint64
}

func (s spacious) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: s.free}, nil
}

// slow needs a time to cut a file short.
type slow struct {
	spacious
	takes time.Duration
}

func (s slow) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.spacious.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	return slowFile{f, s.takes}, nil
}

type slowFile struct {
	vfs.File
	takes time.Duration
}

func (f slowFile) Truncate(size int64) error {
	<-time.After(f.takes)
	return f.File.(interface{ Truncate(int64) error }).Truncate(size)
}

func TestAFileGoesPieceByPiece(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const takes = 2 * time.Millisecond
		fs := reclaim.New(slow{spacious{vfs.Default, 1 << 40}, takes}, 100)
		defer fs.Close()
		name := filepath.Join(dir, "large")
		write(t, name, 8*mib)
		reader, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
		absent(t, name)
		time.Sleep(takes / 2)
		for want := int64(8 * mib); want > mib; want -= mib {
			if w := fs.Waiting(); w != want {
				t.Fatalf("%d bytes wait, want %d", w, want)
			}
			if info, err := reader.Stat(); err != nil || info.Size() != want {
				t.Fatalf("the file: %v, %v; want %d bytes", info, err, want)
			}
			time.Sleep(takes + 250*takes)
		}
		synctest.Wait()
		if w := fs.Waiting(); w != 0 {
			t.Errorf("%d bytes wait at the end", w)
		}
	})
}

func TestAFileWithAnotherNameStaysWhole(t *testing.T) {
	dir := t.TempDir()
	fs := reclaim.New(vfs.Default, 100)
	name, other := filepath.Join(dir, "name"), filepath.Join(dir, "other")
	write(t, name, 4*mib)
	if err := os.Link(name, other); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	fs.Close()
	absent(t, name)
	if info, err := os.Stat(other); err != nil || info.Size() != 4*mib {
		t.Errorf("the other name: %v, %v", info, err)
	}
}

func TestDirectories(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	fs := reclaim.New(vfs.Default, 100)
	write(t, outside, 3*mib)
	sub := filepath.Join(dir, "sub")
	if err := os.MkdirAll(filepath.Join(sub, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(sub, "large"), 3*mib)
	write(t, filepath.Join(sub, "small"), 10)
	write(t, filepath.Join(sub, "deep", "large"), 3*mib)
	if err := os.Symlink(outside, filepath.Join(sub, "link")); err != nil {
		t.Fatal(err)
	}
	if err := fs.RemoveAll(sub); err != nil {
		t.Fatal(err)
	}
	fs.Close()
	absent(t, sub)
	if info, err := os.Stat(outside); err != nil || info.Size() != 3*mib {
		t.Errorf("what a link pointed to: %v, %v", info, err)
	}
	if err := fs.RemoveAll(sub); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if err := fs.Remove(sub); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("removing a name that is not there: %v", err)
	}
}

func TestNothingWaitsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fs := reclaim.New(spacious{vfs.Default, 10 * mib}, 100)
		defer fs.Close()
		name := filepath.Join(dir, "large")
		write(t, name, 8*mib)
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // not for any time
		if w := fs.Waiting(); w != 0 {
			t.Errorf("%d bytes wait", w)
		}
	})
}

func TestClose(t *testing.T) {
	dir := t.TempDir()
	fs := reclaim.New(spacious{vfs.Default, 1 << 40}, 100)
	var names []string
	for _, n := range []string{"a", "b", "c"} {
		names = append(names, filepath.Join(dir, n))
		write(t, names[len(names)-1], 8*mib)
	}
	for _, n := range names[:2] {
		if err := fs.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(names[2], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(names[2]); err != nil {
		t.Fatal(err)
	}
	if err := fs.Take(f, dir); err != nil {
		t.Fatal(err)
	}
	fs.Close()
	if w := fs.Waiting(); w != 0 {
		t.Errorf("%d bytes wait after the end", w)
	}
	if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file that was handed over is open: %v", err)
	}
	write(t, names[0], 8*mib)
	if err := fs.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	if w := fs.Waiting(); w != 0 {
		t.Errorf("%d bytes wait though nobody works any more", w)
	}
	fs.Close()
}

func TestWhatIsInMemoryGoesAtOnce(t *testing.T) {
	mem := vfs.NewMem()
	fs := reclaim.New(mem, 100)
	defer fs.Close()
	f, err := fs.Create("file", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 4*mib)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), fs.Remove("file")); err != nil {
		t.Fatal(err)
	}
	if _, err := mem.Stat("file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}
