package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"bowline/internal/fsm"
	"bowline/internal/wal"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// errReleased is what Source.Entries returns for what the log has let go of.
var errReleased = wal.ErrReleased

// putLog archives all that has been seen.
func (a *Archiver) putLog(ctx context.Context) error {
	for len(a.moments) > 0 {
		entries, err := a.take()
		if err != nil {
			return err
		}
		last := entries[len(entries)-1]
		h := header{ClusterID: a.cfg.Identity.ClusterID, First: a.last.Index + 1, Last: last.GetIndex(), Term: last.GetTerm()}
		n := 0
		for n < len(a.moments) && a.moments[n].Index <= h.Last {
			n++
		}
		if h.Moments = a.moments[:n:n]; n == 0 {
			// A part of what came between two samples: nothing is known of its end.
			h.Moments = []Moment{a.newest}
		}
		var b bytes.Buffer
		if err := writeLog(&b, &h, entries); err != nil {
			return err
		}
		name := h.name()
		size := int64(b.Len())
		if err := a.cfg.Store.Put(ctx, name, Content{bytes.NewReader(b.Bytes()), size, &a.pace}); err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		a.stats.Pieces.Add(1)
		a.stats.Bytes.Add(size)
		a.acknowledge(&h, n)
	}
	return nil
}

// take reads the next piece's entries.
func (a *Archiver) take() ([]*raftpb.Entry, error) {
	var entries []*raftpb.Entry
	size := 0
	for next := a.last.Index + 1; next <= a.seen && size < a.pieceBytes; {
		more, err := a.cfg.Source.Entries(next, a.seen+1, uint64(a.pieceBytes-size))
		if err != nil {
			return nil, fmt.Errorf("read the log at entry %d: %w", next, err)
		}
		for _, e := range more {
			if e.GetIndex() != next {
				return nil, fmt.Errorf("the log has entry %d in the place of %d", e.GetIndex(), next)
			}
			next++
			size += len(e.GetData())
		}
		entries = append(entries, more...)
	}
	return entries, nil
}

func (a *Archiver) acknowledge(h *header, n int) {
	a.last = fsm.Position{Index: h.Last, Term: h.Term}
	if n > 0 {
		a.newest = h.Moments[n-1]
		a.stats.Until.Store(a.newest.Time.Unix())
	}
	a.moments = append([]Moment(nil), a.moments[n:]...)
	a.since = a.now
	a.stats.Archived.Store(int64(h.Last))
	a.hold(h.Last)
	a.cfg.Logger.Debug("archived", zap.Uint64("first", h.First), zap.Uint64("last", h.Last), zap.Int64("revision", a.newest.Revision))
}

// writeLog writes a piece of the log: in each frame entries behind their sizes.
func writeLog(b *bytes.Buffer, h *header, entries []*raftpb.Entry) error {
	p, err := newPieceWriter(b, h)
	if err != nil {
		return err
	}
	var chunk []byte
	for _, e := range entries {
		data, err := proto.Marshal(e)
		if err != nil {
			return err
		}
		chunk = append(binary.AppendUvarint(chunk, uint64(len(data))), data...)
		if len(chunk) >= chunkBytes {
			if _, err := p.Write(chunk); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
	}
	if len(chunk) > 0 {
		if _, err := p.Write(chunk); err != nil {
			return err
		}
	}
	return p.end()
}

// readLog calls f with the entries of each frame of a piece, which must be the ones that
// its header says.
func readLog(p *pieceReader, f func([]*raftpb.Entry) error) error {
	next := p.header.First
	for {
		at := p.offset
		chunk, err := p.next()
		if err != nil {
			if errors.Is(err, io.EOF) && next != p.header.Last+1 {
				return &DamageError{p.name, at, fmt.Sprintf("it ends before entry %d", next)}
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var entries []*raftpb.Entry
		for len(chunk) > 0 {
			size, n := binary.Uvarint(chunk)
			e := new(raftpb.Entry)
			if n <= 0 || size > uint64(len(chunk)-n) || proto.Unmarshal(chunk[n:n+int(size)], e) != nil || e.GetIndex() != next {
				return &DamageError{p.name, at, fmt.Sprintf("entry %d cannot be read", next)}
			}
			entries = append(entries, e)
			chunk = chunk[n+int(size):]
			next++
		}
		if err := f(entries); err != nil {
			return err
		}
	}
}
