package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"bowline/internal/engine"
	"bowline/internal/exchange"
	"bowline/internal/fsm"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// ImagePath is where ServeImage is served.
const ImagePath = pathImage

const (
	// maxImageMessage bounds raft's message before an image.
	maxImageMessage = 64 << 20
	// imageBuffer is how much of an image is read at a time, and imageStall for how
	// long nothing may come; etcd's own receiver waits 5 s.
	imageBuffer = 256 << 10
	imageStall  = 30 * time.Second
	// spaceEvery is after how many bytes the room on the disk is looked at.
	spaceEvery = 64 << 20
)

// ServeImage takes in the state of a leader that is etcd's: raft's message, behind its
// length, and a database to the end of the body. It is made an engine of, and from
// there on goes the way of our own states.
func (r *Receiver) ServeImage(w http.ResponseWriter, req *http.Request) {
	err := r.takeImage(w, req)
	var refused *refusal
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &refused):
		http.Error(w, refused.text, refused.code)
	default:
		r.cfg.Logger.Warn("cannot receive a state", zap.Error(err))
		http.Error(w, fmt.Sprintf("failed to save KV snapshot (%v)", err), http.StatusInternalServerError)
	}
}

func (r *Receiver) takeImage(w http.ResponseWriter, req *http.Request) error {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	if err := r.admit(req); err != nil {
		return err
	}
	if err := enter(r.offers); err != nil {
		return err
	}
	defer func() { <-r.offers }()
	body := &stallingReader{req.Body, http.NewResponseController(w)}
	m, err := readImageMessage(body)
	if err != nil {
		return err
	}
	if m.GetTo() != r.cfg.ID || strconv.FormatUint(m.GetFrom(), 16) != req.Header.Get(headerFrom) {
		return refuse(http.StatusBadRequest, "a message of member %x for member %x", m.GetFrom(), m.GetTo())
	}
	at := m.GetSnapshot().GetMetadata()
	began := r.now()
	r.counts.begin(m.GetFrom())
	r.cfg.Logger.Info("receiving database snapshot", zap.String("remote-peer-id", fmt.Sprintf("%x", m.GetFrom())),
		zap.Uint64("incoming-snapshot-index", at.GetIndex()), zap.Bool("image", true))
	err = r.saveImage(req.Context(), body, m, began)
	r.counts.end(m.GetFrom(), r.now().Sub(began), err)
	return err
}

// readImageMessage reads raft's message.
func readImageMessage(body io.Reader) (*raftpb.Message, error) {
	var length [8]byte
	if _, err := io.ReadFull(body, length[:]); err != nil {
		return nil, refuse(http.StatusBadRequest, "failed to decode raft message (%v)", err)
	}
	n := binary.BigEndian.Uint64(length[:])
	if n > maxImageMessage {
		return nil, refuse(http.StatusBadRequest, "failed to decode raft message (rafthttp: error limit exceeded)")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, refuse(http.StatusBadRequest, "failed to decode raft message (%v)", err)
	}
	m := new(raftpb.Message)
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, refuse(http.StatusBadRequest, "failed to decode raft message (%v)", err)
	}
	at := m.GetSnapshot().GetMetadata()
	if m.GetType() != raftpb.MsgSnap || at.GetIndex() == 0 || at.GetTerm() == 0 || m.GetTerm() < at.GetTerm() || at.GetConfState() == nil {
		return nil, refuse(http.StatusBadRequest, "wrong raft message type")
	}
	return m, nil
}

// saveImage writes the image down, makes an engine of it, and hands it to raft.
func (r *Receiver) saveImage(ctx context.Context, body io.Reader, m *raftpb.Message, began time.Time) error {
	at := m.GetSnapshot().GetMetadata()
	if applied := r.cfg.Applied(); at.GetIndex() <= applied {
		return refuse(http.StatusConflict, "entry %d is applied already", applied)
	}
	fs := r.cfg.Dirs.FS
	name := strconv.FormatUint(at.GetIndex(), 10) + "-image"
	temporary, dir := r.cfg.Dirs.path(incomingPrefix+name+"-file"), r.cfg.Dirs.path(incomingPrefix+name)
	if err := errors.Join(fs.RemoveAll(temporary), fs.RemoveAll(dir), fs.MkdirAll(temporary, 0o700)); err != nil {
		return err
	}
	size, err := r.importImage(ctx, body, m, temporary, dir)
	if err = errors.Join(err, fs.RemoveAll(temporary)); err != nil {
		return errors.Join(err, fs.RemoveAll(dir))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending > r.cfg.Applied() {
		return errors.Join(refuse(http.StatusServiceUnavailable, "a received state is being installed"), fs.RemoveAll(dir))
	}
	return r.give(ctx, dir, name, m, size, began)
}

func (r *Receiver) importImage(ctx context.Context, body io.Reader, m *raftpb.Message, temporary, dir string) (size int64, err error) {
	fs := r.cfg.Dirs.FS
	file := fs.PathJoin(temporary, "image.db")
	if size, err = r.writeImage(ctx, body, file); err != nil {
		return size, err
	}
	at := m.GetSnapshot().GetMetadata()
	image := exchange.Image{File: file, Dir: temporary, Tree: m.GetSnapshot().GetData(),
		Position: fsm.Position{Index: at.GetIndex(), Term: at.GetTerm()}}
	return size, image.Import(ctx, dir, engine.Options{FS: fs, Logger: r.cfg.Logger.Named("engine")})
}

// writeImage copies the rest of a body to a file, as long as the disk has room for it
// and for the engine that it becomes.
func (r *Receiver) writeImage(ctx context.Context, body io.Reader, name string) (size int64, err error) {
	fs := r.cfg.Dirs.FS
	f, err := fs.Create(name, diskCategory)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, imageBuffer)
	for looked := int64(-spaceEvery); ; {
		if size-looked >= spaceEvery {
			looked = size
			if err := r.roomFor(fs, 2*size+spaceEvery); err != nil {
				return size, err
			}
		}
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return size, err
			}
			size += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return size, nil
		case err != nil:
			return size, refuse(http.StatusBadRequest, "error reading the image: %v", err)
		case ctx.Err() != nil:
			return size, ctx.Err()
		}
	}
}

// roomFor refuses what does not fit beside the reserve.
func (r *Receiver) roomFor(fs vfs.FS, bytes int64) error {
	usage, err := fs.GetDiskUsage(r.cfg.Dirs.Dir)
	if err == nil && usage.AvailBytes < uint64(bytes)+r.cfg.Reserve {
		return refuse(http.StatusInsufficientStorage, "the state does not fit: %d bytes are free, %d of them reserved", usage.AvailBytes, r.cfg.Reserve)
	}
	return nil
}

// stallingReader gives each read its own deadline.
type stallingReader struct {
	io.Reader
	c *http.ResponseController
}

func (r *stallingReader) Read(b []byte) (int, error) {
	// Errors mean that there are no deadlines here: a test's recorder.
	_ = r.c.SetReadDeadline(time.Now().Add(imageStall))
	return r.Reader.Read(b)
}
