package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Limits of what is read.
const (
	maxFrameBytes   = 512 << 20
	maxFrameEntries = 1 << 20
	// firstBytes is what is allocated for a frame before any of it has come, and keptBytes what is kept for the next one.
	firstBytes = 64 << 10
	keptBytes  = 1 << 20
)

// decoder reads a stream's frames.
type decoder struct {
	kind     streamKind
	from, to uint64
	track
	in    *bufio.Reader
	buf   []byte
	eight [8]byte
	arena entryArena
	read  uint64 // bytes of the last frame
}

func newDecoder(kind streamKind, in io.Reader, from, to uint64) *decoder {
	return &decoder{kind: kind, from: from, to: to, in: bufio.NewReaderSize(in, firstBytes)}
}

// next returns the next message, or nil for a sign of life.
func (d *decoder) next() (*raftpb.Message, error) {
	d.read = 0
	if cap(d.buf) > keptBytes {
		d.buf = nil
	}
	if d.kind == messageStream {
		m, err := d.message()
		if err == nil && m.GetType() == raftpb.MsgHeartbeat && m.GetFrom() == 0 {
			return nil, nil
		}
		return m, err
	}
	frame, err := d.in.ReadByte()
	if err != nil {
		return nil, err
	}
	d.read++
	switch frame {
	case frameHeartbeat:
		return nil, nil
	case frameEntries:
		m, err := d.entries()
		return m, midway(err)
	case frameMessage:
		m, err := d.message()
		if err != nil {
			return nil, midway(err)
		}
		if m.GetType() != raftpb.MsgApp {
			return nil, fmt.Errorf("transport: %v on a stream of entries", m.GetType())
		}
		d.follow(m)
		return m, nil
	}
	return nil, fmt.Errorf("transport: frame of unknown kind %d", frame)
}

// midway is an error within a frame: the end of the stream is not to be expected there.
func midway(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// message reads a message behind its length.
func (d *decoder) message() (*raftpb.Message, error) {
	n, err := d.number()
	if err != nil {
		return nil, err
	}
	data, err := d.bytes(n)
	if err != nil {
		return nil, midway(err)
	}
	m := new(raftpb.Message)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, err
	}
	return m, nil
}

// entries reads a message of which only the entries and the commit index were sent.
func (d *decoder) entries() (*raftpb.Message, error) {
	n, err := d.number()
	if err != nil {
		return nil, err
	}
	switch {
	case d.term == 0:
		return nil, errors.New("transport: entries that follow nothing")
	case n > maxFrameEntries:
		return nil, fmt.Errorf("transport: %d entries in a message, the limit is %d", n, maxFrameEntries)
	}
	term, logTerm, index, kind, from, to := d.term, d.term, d.index, raftpb.MsgApp, d.from, d.to
	m := &raftpb.Message{Type: &kind, From: &from, To: &to, Term: &term, LogTerm: &logTerm, Index: &index}
	for range n {
		size, err := d.number()
		if err != nil {
			return nil, err
		}
		data, err := d.bytes(size)
		if err != nil {
			return nil, err
		}
		e, err := d.arena.decode(data)
		if err != nil {
			return nil, err
		}
		m.Entries = append(m.Entries, e)
	}
	commit, err := d.number()
	if err != nil {
		return nil, err
	}
	m.Commit = &commit
	d.index += n
	return m, nil
}

// number reads 8 bytes.
func (d *decoder) number() (uint64, error) {
	if _, err := io.ReadFull(d.in, d.eight[:]); err != nil {
		return 0, err
	}
	d.read += 8
	return binary.BigEndian.Uint64(d.eight[:]), nil
}

// bytes reads n bytes, which are good until the next call. It allocates no more than about twice what has arrived.
func (d *decoder) bytes(n uint64) ([]byte, error) {
	if n > maxFrameBytes || d.read+n > maxFrameBytes {
		return nil, fmt.Errorf("transport: a frame of %d bytes and more, the limit is %d", d.read+n, maxFrameBytes)
	}
	d.buf = d.buf[:0]
	for have := 0; have < int(n); have = len(d.buf) {
		step := min(int(n)-have, max(have, firstBytes))
		d.buf = slices.Grow(d.buf, step)[:have+step]
		if _, err := io.ReadFull(d.in, d.buf[have:]); err != nil {
			return nil, err
		}
	}
	d.read += n
	return d.buf, nil
}
