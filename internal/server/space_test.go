package server

import (
	"testing"
	"time"

	"bowline/internal/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestRoomThatWasMadeCountsAtOnce: a write right after the alarm was disarmed must not
// raise it again because of what the member remembers.
func TestRoomThatWasMadeCountsAtOnce(t *testing.T) {
	e, err := engine.Open("db", engine.Options{FS: vfs.NewMem(), CacheBytes: 1 << 20, MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	size := e.Size().Total
	s := newSpace(&Config{Engine: e, QuotaBytes: size + 1000})
	now := time.Now()
	if !s.fits(999, now) {
		t.Fatal("what has room is refused")
	}
	// As if there had been more.
	s.size.Store(size + 2000)
	if s.fits(1, now) {
		t.Fatal("what has no room is taken")
	}
	if s.fits(1, now) {
		t.Fatal("the size is asked for again and again")
	}
	if now = now.Add(2 * refusalAge); !s.fits(1, now) {
		t.Error("what has room again is refused")
	}
	if s.fits(1000, now) || s.fits(1, now.Add(sizeMaxAge)) {
		t.Error("after a refusal something is taken, though nothing has shrunk")
	}
}
