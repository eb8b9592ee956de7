package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// pacedRate is how many bytes a second are read and sent while clients are busy.
	pacedRate = 64 << 20
	// defaultHoldAfter is etcd's number.
	defaultHoldAfter = 30 * time.Second
)

// Peer is the member that a state goes to; transport.Destination is one.
type Peer interface {
	ID() uint64
	// Do sends a request with the headers that members know each other by.
	Do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error)
}

// SenderConfig is what a Sender is made of. ImageSent, Busy and Logger may be nil.
type SenderConfig struct {
	Dirs   Dirs
	Engine *engine.Engine
	FSM    *fsm.FSM
	// HoldLog is node.Node.HoldLog.
	HoldLog func(index uint64) (release func())
	// HoldAfter is for how long the log is kept for a receiver that has the state, so
	// that it finds what follows; 0 means 30 s.
	HoldAfter time.Duration
	// ImageSent, if not nil, is called when an etcd has taken an image, and should have an
	// entry agreed on: etcd takes its own state for being behind until it applies an entry
	// that comes after, and refuses clients, and its own publication, meanwhile.
	ImageSent func(context.Context)
	// Busy tells whether clients would feel a disk and a network at their limits.
	Busy   func() bool
	Logger *zap.Logger
}

// Sender sends this member's state.
type Sender struct {
	cfg    SenderConfig
	pace   *pacer
	states *states
	counts counts
	image  chan struct{} // holds a token while an image for an etcd is made
}

// NewSender returns a Sender.
func NewSender(cfg SenderConfig) *Sender {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.HoldAfter == 0 {
		cfg.HoldAfter = defaultHoldAfter
	}
	pace := &pacer{rate: pacedRate, busy: cfg.Busy}
	return &Sender{cfg: cfg, pace: pace, image: make(chan struct{}, 1),
		states: &states{dirs: cfg.Dirs, engine: cfg.Engine, hold: cfg.HoldLog, pace: pace, now: time.Now}}
}

// errForeign is said of a peer that does not know Path.
var errForeign = errors.New("transfer: the peer does not know how states are moved here")

// Send sends the state for raft's message m, whose metadata it replaces by what is
// sent, and returns nil when the other's raft has taken it and its state machine works
// on it. What arrived before an error is not sent again. It ends with ctx, or after an
// hour.
func (s *Sender) Send(ctx context.Context, to Peer, m *raftpb.Message) (err error) {
	began := time.Now()
	s.counts.begin(to.ID())
	defer func() { s.counts.end(to.ID(), time.Since(began), err) }()
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	st, err := s.states.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.states.release(st)
	if !contains(st.conf, to.ID()) {
		return fmt.Errorf("transfer: member %x is not in the state of entry %d yet", to.ID(), st.at.Index)
	}
	release := s.cfg.HoldLog(st.at.Index)
	sent, err := s.sendState(ctx, to, st, m)
	if errors.Is(err, errForeign) {
		release()
		return s.sendImage(ctx, to, m)
	}
	if err != nil {
		release()
		return fmt.Errorf("transfer: send the state of entry %d to member %x: %w", st.at.Index, to.ID(), err)
	}
	time.AfterFunc(s.cfg.HoldAfter, release)
	s.cfg.Logger.Info("sent database snapshot to remote peer", zap.String("remote-peer-id", fmt.Sprintf("%x", to.ID())),
		zap.Uint64("snapshot-index", st.at.Index), zap.Int64("bytes", sent), zap.Duration("took", time.Since(began)))
	return nil
}

func contains(conf *raftpb.ConfState, id uint64) bool {
	for _, ids := range [][]uint64{conf.GetVoters(), conf.GetLearners(), conf.GetVotersOutgoing()} {
		for _, have := range ids {
			if have == id {
				return true
			}
		}
	}
	return false
}

// rewrite returns m with the position of what is sent.
func rewrite(m *raftpb.Message, at fsm.Position, conf *raftpb.ConfState, data []byte) *raftpb.Message {
	m = proto.Clone(m).(*raftpb.Message)
	m.Snapshot = &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{Index: &at.Index, Term: &at.Term, ConfState: conf}}
	return m
}

func (s *Sender) sendState(ctx context.Context, to Peer, st *state, m *raftpb.Message) (sent int64, err error) {
	message, err := proto.Marshal(rewrite(m, st.at, st.conf, nil))
	if err != nil {
		return 0, err
	}
	encoded, err := json.Marshal(offer{Message: message, Files: st.files})
	if err != nil {
		return 0, err
	}
	var a answer
	if err := s.offer(ctx, to, encoded, &a); err != nil || a.Taken {
		return 0, err
	}
	sizes := make(map[string]int64, len(st.files))
	for _, f := range st.files {
		sizes[f.Name] = f.Size
	}
	for _, l := range a.Lacks {
		size, ok := sizes[l.Name]
		if !ok || l.Offset < 0 || l.Offset > size {
			return sent, fmt.Errorf("the peer lacks %.100q from %d on, which was not offered", l.Name, l.Offset)
		}
		if err := s.sendFile(ctx, to, a.Offer, st, l, size); err != nil {
			return sent, fmt.Errorf("%s: %w", l.Name, err)
		}
		sent += size - l.Offset
	}
	return sent, s.post(ctx, to, pathComplete, http.Header{headerOffer: {a.Offer}}, nil, installTimeout+bodyTimeout)
}

// offer tells the peer what there is, and asks what it lacks.
func (s *Sender) offer(ctx context.Context, to Peer, encoded []byte, a *answer) error {
	ctx, cancel := context.WithTimeout(ctx, offerTimeout)
	defer cancel()
	resp, err := to.Do(ctx, http.MethodPost, pathOffer, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOfferBytes))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return errForeign
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("answer %d: %.200q", resp.StatusCode, strings.TrimSpace(string(body)))
	case err != nil:
		return err
	}
	if err := json.Unmarshal(body, a); err != nil {
		return fmt.Errorf("the answer to an offer cannot be read: %w", err)
	}
	return nil
}

// sendFile sends the rest of a file, chunk by chunk; an empty one in an empty chunk.
func (s *Sender) sendFile(ctx context.Context, to Peer, offer string, st *state, l lack, size int64) error {
	f, err := s.cfg.Dirs.FS.Open(s.cfg.Dirs.FS.PathJoin(st.dir, l.Name), vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, min(size-l.Offset, chunkBytes))
	for at := l.Offset; ; {
		b := buf[:min(size-at, chunkBytes)]
		if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		header := http.Header{headerOffer: {offer}, headerFile: {l.Name}, headerOffset: {strconv.FormatInt(at, 10)}, headerChecksum: {checksumOf(b)}}
		if err := s.post(ctx, to, pathChunk, header, b, bodyTimeout+installTimeout); err != nil {
			return err
		}
		if at += int64(len(b)); at >= size {
			return nil
		}
		if err := s.pace.wait(ctx, len(b)); err != nil {
			return err
		}
	}
}

// post sends one request, within a limit of time.
func (s *Sender) post(ctx context.Context, to Peer, path string, header http.Header, body []byte, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return postBytes(ctx, to, path, header, bytes.NewReader(body))
}

// postBytes sends one request and wants 204.
func postBytes(ctx context.Context, to Peer, path string, header http.Header, body io.Reader) error {
	header.Set("Content-Type", "application/octet-stream")
	resp, err := to.Do(ctx, http.MethodPost, path, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxSmall)) // what has come explains the status
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("answer %d: %.200q", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	return nil
}
