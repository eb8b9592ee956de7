package exchange

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestCheck looks into sound directories, and into ones with damage of each part.
func TestCheck(t *testing.T) {
	log := filepath.Join(engine.MemberDir, engine.LogDirName, "0000000000000000-0000000000000000.wal")
	for _, c := range []struct {
		name, want string
		ours       bool
		spoil      func(t *testing.T, dir string)
	}{
		{name: "ours", ours: true},
		{name: "etcd's"},
		{name: "our log", ours: true, want: "is damaged at offset", spoil: func(t *testing.T, dir string) { flip(t, filepath.Join(dir, log), 130) }},
		{name: "our log is gone", ours: true, want: "no log in the directory", spoil: func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, log)))
		}},
		{name: "another member's log", ours: true, want: "the store has applied index", spoil: func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(unpackDir(t, "datadir-3.7-crash"), log), filepath.Join(dir, log)))
		}},
		{name: "our store", ours: true, want: "checksum mismatch", spoil: func(t *testing.T, dir string) {
			tables, err := filepath.Glob(filepath.Join(dir, engine.MemberDir, engine.DirName, "*.sst"))
			must(t, err)
			flip(t, tables[0], 300)
		}},
		{name: "etcd's log", want: "is damaged at offset", spoil: func(t *testing.T, dir string) { flip(t, filepath.Join(dir, log), 5000) }},
		{name: "etcd's store", want: "is damaged at offset", spoil: func(t *testing.T, dir string) {
			name := filepath.Join(dir, engine.MemberDir, engine.SignpostFile)
			flip(t, name, keyRoot(t, name)+8)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := unpackDir(t, "datadir-3.7")
			if c.ours {
				must(t, takeOver(dir, "", vfs.Default).Run(t.Context()))
			}
			if c.spoil != nil {
				c.spoil(t, dir)
			}
			r, err := Check(t.Context(), dir, "", time.Second)
			must(t, err)
			if r.Etcd == c.ours {
				t.Errorf("etcd's: %v", r.Etcd)
			}
			if c.want == "" {
				if len(r.Problems) > 0 || r.State.Revision != 421 || r.State.Keys != 201 || r.Log.LastIndex != 478 {
					t.Errorf("%+v", r)
				}
				return
			}
			if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Error(), c.want) {
				t.Errorf("problems %v, want %q", r.Problems, c.want)
			}
		})
	}
}
