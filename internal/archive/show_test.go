package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"bowline/internal/exchange"
)

// TestShow shows an archive, and pieces of it, and compares with a golden text. What is in the
// newest checkpoint is as it was in the model.
func TestShow(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, directory{dir})
	for range 3 {
		w.busy(4)
		must(t, w.tick(t.Context(), 2*time.Second))
	}
	must(t, w.tick(t.Context(), 25*time.Hour)) // a second checkpoint
	must(t, w.tick(t.Context(), time.Second))
	names, err := w.store.List(t.Context())
	must(t, err)
	c := parseNames(names)
	if len(c.checkpoints) != 2 || len(c.logs) < 2 {
		t.Fatalf("%d checkpoints, %d pieces of the log", len(c.checkpoints), len(c.logs))
	}
	var got strings.Builder
	show := func(place string, sel exchange.Selection) (lines []string) {
		err := Show(t.Context(), place, exchange.NewShower(t.Context(), sel, func(r exchange.Shown) error {
			_, err := json.Marshal(r)
			lines = append(lines, r.String())
			return err
		}))
		if err != nil && !errors.Is(err, exchange.ErrEnough) {
			t.Fatal(err)
		}
		text, err := json.Marshal(sel)
		must(t, err)
		fmt.Fprintf(&got, "# %s %s\n%s\n", strings.TrimPrefix(place, dir), text, strings.Join(lines, "\n"))
		return lines
	}
	show(dir, exchange.Selection{Kinds: []exchange.Kind{exchange.KindPiece}})
	show(dir, exchange.Selection{FromIndex: c.logs[1].first, ToIndex: c.logs[1].last})
	show(dir, exchange.Selection{Kinds: []exchange.Kind{exchange.KindMark, exchange.KindLease}})
	show(filepath.Join(dir, c.checkpoints[0].name), exchange.Selection{})
	show(filepath.Join(dir, c.logs[0].name), exchange.Selection{Limit: 3})
	entries := show(dir, exchange.Selection{Kinds: []exchange.Kind{exchange.KindEntry}})
	if len(entries) < int(c.logs[len(c.logs)-1].last-c.logs[0].first) {
		t.Errorf("%d entries", len(entries))
	}
	live := make(map[string]bool)
	for _, line := range show(dir, exchange.Selection{Kinds: []exchange.Kind{exchange.KindVersion}}) {
		key := regexp.MustCompile(`^version "(.*)": (.*) at`).FindStringSubmatch(line)
		if live[key[1]] = true; key[2] == "deleted" {
			delete(live, key[1])
		}
	}
	if want := w.states[c.checkpoints[1].moment.Revision]; len(live) != len(want) {
		t.Errorf("%d keys, want %d", len(live), len(want))
	}
	name := filepath.Join("testdata", "show.txt")
	text := regexp.MustCompile(`  +`).ReplaceAllString(got.String(), " ") // protobuf's text varies
	if os.Getenv("UPDATE_GOLDEN") != "" {
		must(t, os.WriteFile(name, []byte(text), 0o644))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if text != string(want) {
		t.Errorf("it shows\n%s\nnot what %s says", text, name)
	}
}

// TestShowRefuses damage, and what is no archive.
func TestShowRefuses(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, directory{dir})
	w.busy(5)
	must(t, w.tick(t.Context(), 2*time.Second))
	s := exchange.NewShower(t.Context(), exchange.Selection{}, func(exchange.Shown) error { return nil })
	must(t, Show(t.Context(), dir, s))
	names, err := w.store.List(t.Context())
	must(t, err)
	c := parseNames(names)
	for _, p := range []piece{c.checkpoints[0], c.logs[0]} {
		name := filepath.Join(dir, p.name)
		good, err := os.ReadFile(name)
		must(t, err)
		bad := append([]byte{}, good...)
		bad[len(bad)/2] ^= 1
		must(t, os.WriteFile(name, bad, 0o600))
		var damage *DamageError
		if err := Show(t.Context(), name, s); !errors.As(err, &damage) || damage.Piece != p.name || damage.Offset == 0 {
			t.Errorf("%s: %v", p.name, err)
		}
		must(t, os.WriteFile(name, good, 0o600))
	}
	if err := Show(t.Context(), filepath.Join(t.TempDir(), c.logs[0].name), s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a piece without an archive: %v", err)
	}
	if !IsPlace(dir) || IsPlace(t.TempDir()) {
		t.Error("what is an archive?")
	}
}
