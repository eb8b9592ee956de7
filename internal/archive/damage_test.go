package archive

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// frames are the offsets of a piece's frames.
func frames(b []byte) (offsets []int) {
	for at := len(magic); at < len(b); {
		offsets = append(offsets, at)
		at += frameHead + int(binary.BigEndian.Uint32(b[at+5:]))
	}
	return offsets
}

// TestDamage spoils every kind of byte of every kind of piece: it is refused with the
// piece's name and the offset of what is wrong, by restore and verify alike, and nothing
// is left behind.
func TestDamage(t *testing.T) {
	path := t.TempDir()
	w := newWorld(t, directory{path})
	w.busy(60)
	must(t, w.tick(t.Context(), 2*time.Second))
	names, err := w.store.List(t.Context())
	must(t, err)
	c := parseNames(names)
	for _, victim := range []string{c.checkpoints[0].name, c.logs[1].name, identityName} {
		whole, err := os.ReadFile(filepath.Join(path, victim))
		must(t, err)
		for what, s := range spoils(whole, victim == identityName) {
			must(t, os.WriteFile(filepath.Join(path, victim), s.bytes, 0o600))
			parent := t.TempDir()
			_, err := Restore(t.Context(), w.store, Target{}, options(filepath.Join(parent, "data")))
			var d *DamageError
			if !errors.As(err, &d) || d.Piece != victim || d.Offset != int64(s.offset) {
				t.Errorf("%s, %s: %v, want damage at %d", victim, what, err, s.offset)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("%s, %s: %v is left, %v", victim, what, left, err)
			}
			if _, verr := Verify(t.Context(), w.store, options("")); !errors.As(verr, &d) || d.Piece != victim {
				t.Errorf("%s, %s: verify says %v", victim, what, verr)
			}
		}
		must(t, os.WriteFile(filepath.Join(path, victim), whole, 0o600))
	}
	_, rev := w.fsm.At()
	w.expect(Target{}, rev)
}

type spoilt struct {
	bytes  []byte
	offset int // that the error must name
}

func spoils(whole []byte, identity bool) map[string]spoilt {
	flip := func(at int) []byte {
		b := slices.Clone(whole)
		b[at] ^= 0x10
		return b
	}
	if identity {
		return map[string]spoilt{
			"its text": {flip(20), 0}, "its sum": {flip(len(whole) - 3), 0}, "cut": {whole[:30], 0}, "empty": {nil, 0},
		}
	}
	f := frames(whole)
	data, end := f[1], f[len(f)-1]
	return map[string]spoilt{
		"magic":           {flip(2), 0},
		"header's kind":   {flip(f[0]), f[0]},
		"header's text":   {flip(f[0] + frameHead + 5), f[0]},
		"a kind":          {flip(data), data},
		"a content size":  {flip(data + 3), data},
		"a huge size":     {flip(data + 1), data},
		"a payload size":  {flip(data + 8), data},
		"a checksum":      {flip(data + 11), data},
		"a payload":       {flip(data + frameHead + 7), data},
		"the end":         {flip(end + 4), end},
		"cut in the end":  {whole[:len(whole)-2], end},
		"cut at the end":  {whole[:end], end},
		"cut in data":     {whole[:data+frameHead+9], data},
		"cut in the head": {whole[:data+4], data},
		"cut in magic":    {whole[:4], 0},
		"empty":           {nil, 0},
		"more behind it":  {append(slices.Clone(whole), 'x'), len(whole)},
		"a frame twice":   {slices.Concat(whole[:f[1]], whole[f[0]:f[1]], whole[f[1]:]), f[1]},
	}
}

// TestAPieceOfAnotherName is refused: a rename would change what it means.
func TestAPieceOfAnotherName(t *testing.T) {
	path := t.TempDir()
	w := newWorld(t, directory{path})
	w.busy(60)
	names, err := w.store.List(t.Context())
	must(t, err)
	c := parseNames(names)
	must(t, os.Rename(filepath.Join(path, c.logs[2].name), filepath.Join(path, c.logs[1].name)))
	_, err = Restore(t.Context(), w.store, Target{}, options(filepath.Join(t.TempDir(), "data")))
	if err == nil || !strings.Contains(err.Error(), "it says that it is "+c.logs[2].name) {
		t.Errorf("it answers %v", err)
	}
}
