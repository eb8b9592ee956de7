package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"bowline/internal/exchange"
	"bowline/internal/wal"

	"go.etcd.io/raft/v3/raftpb"
)

// ShownPiece is a piece of an archive.
type ShownPiece struct {
	Kind exchange.Kind `json:"kind"`
	Name string        `json:"name"`
	// First is the first entry in a piece of the log; Last the last one in it, or in the
	// state of a checkpoint.
	First    uint64    `json:"first,omitempty"`
	Last     uint64    `json:"last"`
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
}

func (p ShownPiece) String() string {
	at := fmt.Sprintf("revision %d at %s", p.Revision, p.Time.Format(time.RFC3339Nano))
	if p.First == 0 {
		return fmt.Sprintf("piece %s: the state after entry %d, %s", p.Name, p.Last, at)
	}
	return fmt.Sprintf("piece %s: entries %d to %d, up to %s", p.Name, p.First, p.Last, at)
}

// IsPlace tells whether a text names an archive that is there, or a piece of one.
func IsPlace(place string) bool {
	if _, ok := parseName(path.Base(place)); ok || strings.HasPrefix(place, s3Scheme) {
		return true
	}
	_, err := os.Stat(filepath.Join(place, identityName))
	return err == nil
}

// Show shows an archive: its pieces, the entries in them and the state in the newest
// checkpoint. If the place is that of a piece, it is that one alone.
func Show(ctx context.Context, place string, s *exchange.Shower) error {
	only := ""
	if _, ok := parseName(path.Base(place)); ok {
		place, only = strings.TrimSuffix(place, path.Base(place)), path.Base(place)
		if place == "" {
			place = "."
		}
	}
	store, err := Open(strings.TrimSuffix(place, "/"))
	if err != nil {
		return err
	}
	id, err := readIdentity(ctx, store)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", store, identityName, err)
	}
	names, err := store.List(ctx)
	if err != nil {
		return err
	}
	if only != "" {
		names = []string{only}
	}
	c := parseNames(names)
	if s.Wants(exchange.KindPiece) {
		for _, p := range append(c.checkpoints, c.logs...) {
			if err := s.Emit(ShownPiece{exchange.KindPiece, p.name, p.first, p.last, p.moment.Revision, p.moment.Time}); err != nil {
				return err
			}
		}
	}
	if s.Wants(exchange.KindEntry) {
		if err := showLogs(ctx, store, id, c.logs, s); err != nil {
			return err
		}
	}
	if len(c.checkpoints) == 0 || !s.WantsState() {
		return nil
	}
	return showCheckpoint(ctx, store, id, c.checkpoints[len(c.checkpoints)-1], s)
}

// showLogs shows the entries in pieces, reading only those that may hold wanted ones.
func showLogs(ctx context.Context, store Store, id Identity, logs []piece, s *exchange.Shower) error {
	for _, l := range logs {
		if l.last < s.FromIndex || s.ToIndex > 0 && l.first > s.ToIndex {
			continue
		}
		p, done, err := openPiece(ctx, store, id, l)
		if err != nil {
			return err
		}
		err = readLog(p, func(entries []*raftpb.Entry) error {
			for _, e := range entries {
				if err := s.Entry(wal.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Type: e.GetType(), Data: e.GetData()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err = errors.Join(err, done()); err != nil {
			return err
		}
	}
	return nil
}

// showCheckpoint shows a state. Its file has no name when records are written, so that
// nothing is left however the process ends.
func showCheckpoint(ctx context.Context, store Store, id Identity, c piece, s *exchange.Shower) error {
	dir, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return err
	}
	var f *os.File
	name, err := fetchCheckpoint(ctx, store, id, c, dir)
	if err == nil {
		f, err = os.Open(name)
	}
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return err
	}
	return s.SnapshotFile(c.name, f)
}
