package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"bowline/internal/engine"
	"bowline/internal/node"
	"bowline/internal/tally"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// ReceiverConfig is what a Receiver is made of. All but Reserve, Removed and Logger is
// required.
type ReceiverConfig struct {
	ID, ClusterID uint64
	Dirs          Dirs
	Engine        *engine.Engine
	// Step gives raft the message when the state is there; node.Node.StepSnapshot.
	Step func(context.Context, *raftpb.Message) error
	// Applied is the index that the state machine has come to, and WaitApplied waits for
	// one; fsm.FSM.Applied and Installer.WaitApplied.
	Applied     func() uint64
	WaitApplied func(ctx context.Context, index uint64) error
	// Removed tells whether a member was removed from the cluster.
	Removed func(id uint64) bool
	// Reserve is how much of the disk a received state must leave free.
	Reserve uint64
	Logger  *zap.Logger
}

// Receiver takes in states. It is the handler of everything below Path.
type Receiver struct {
	cfg ReceiverConfig
	mux *http.ServeMux
	// bodies bounds the requests whose bodies are held in memory, offers those that are
	// looked at.
	bodies, offers chan struct{}
	now            func() time.Time
	bodyTimeout    time.Duration
	counts         counts
	syncs, saves   *tally.Histogram

	mu      sync.Mutex // held across the disk: it makes one thing after the other of what a sender asks
	current *incoming  // nil if nothing is being received
	pending uint64     // index of the state that raft has taken and that is not applied yet
}

// maxBodies is how many chunks may be held in memory.
const maxBodies = 4

// NewReceiver returns a Receiver. What an earlier process left must have been removed.
func NewReceiver(cfg ReceiverConfig) *Receiver {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	r := &Receiver{cfg: cfg, mux: http.NewServeMux(), bodies: make(chan struct{}, maxBodies), offers: make(chan struct{}, 1),
		now: time.Now, bodyTimeout: bodyTimeout,
		syncs: tally.Durations(time.Millisecond, 14), saves: tally.Durations(100*time.Millisecond, 10)}
	for path, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		pathOffer: r.serveOffer, pathChunk: r.serveChunk, pathComplete: r.serveComplete,
	} {
		r.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, req *http.Request) {
			err := r.admit(req)
			if err == nil {
				err = serve(w, req)
			}
			var refused *refusal
			switch {
			case err == nil:
			case errors.As(err, &refused):
				http.Error(w, refused.text, refused.code)
			default:
				r.cfg.Logger.Warn("cannot receive a state", zap.Error(err))
				http.Error(w, "cannot receive the state: "+err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return r
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// refusal is an answer other than success that is not this member's fault.
type refusal struct {
	code int
	text string
}

func (e *refusal) Error() string { return e.text }

func refuse(code int, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// admit checks whose request it is, as for etcd's own ways.
func (r *Receiver) admit(req *http.Request) error {
	if req.Header.Get(headerCluster) != strconv.FormatUint(r.cfg.ClusterID, 16) {
		return refuse(http.StatusPreconditionFailed, "cluster ID mismatch")
	}
	from, err := strconv.ParseUint(req.Header.Get(headerFrom), 16, 64)
	if err != nil || from == 0 {
		return refuse(http.StatusBadRequest, "invalid from")
	}
	if r.cfg.Removed != nil && r.cfg.Removed(from) {
		return refuse(http.StatusGone, "removed member")
	}
	return nil
}

// body reads a request's body, which may have limit bytes, in bounded time.
func (r *Receiver) body(w http.ResponseWriter, req *http.Request, limit int64) ([]byte, error) {
	c := http.NewResponseController(w)
	// Errors mean that there are no deadlines here: a test's recorder.
	_ = c.SetReadDeadline(time.Now().Add(r.bodyTimeout))
	b, err := io.ReadAll(http.MaxBytesReader(w, req.Body, limit))
	if err == nil {
		// A deadline that has passed stays: net/http reads what is left of a body.
		_ = c.SetReadDeadline(time.Time{})
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, refuse(http.StatusRequestEntityTooLarge, "more than %d bytes", limit)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "error reading the body: %v", err)
	}
	return b, nil
}

// enter takes a place, or refuses: the sender comes again.
func enter(places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
		return refuse(http.StatusServiceUnavailable, "another state is being received")
	}
}

func (r *Receiver) serveOffer(w http.ResponseWriter, req *http.Request) error {
	if err := enter(r.offers); err != nil {
		return err
	}
	defer func() { <-r.offers }()
	encoded, err := r.body(w, req, maxOfferBytes)
	if err != nil {
		return err
	}
	o, m, err := parseOffer(encoded)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	if m.GetTo() != r.cfg.ID || strconv.FormatUint(m.GetFrom(), 16) != req.Header.Get(headerFrom) {
		return refuse(http.StatusBadRequest, "a message of member %x for member %x", m.GetFrom(), m.GetTo())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := r.begin(req.Context(), offerID(encoded), o, m)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(a)
}

// begin prepares to receive what is offered, or goes on with it.
func (r *Receiver) begin(ctx context.Context, id string, o *offer, m *raftpb.Message) (*answer, error) {
	index := m.GetSnapshot().GetMetadata().GetIndex()
	applied := r.cfg.Applied()
	switch {
	case r.pending > applied:
		return nil, refuse(http.StatusServiceUnavailable, "a received state is being installed")
	case index <= applied:
		return &answer{Offer: id, Taken: true}, nil
	case r.current != nil && r.current.id != id && r.current.message.GetFrom() != m.GetFrom() && r.now().Sub(r.current.heard) < quietTimeout:
		return nil, refuse(http.StatusServiceUnavailable, "another state is being received")
	}
	if r.current == nil || r.current.id != id {
		next, err := r.prepare(ctx, id, o, m)
		if err != nil {
			r.counts.fail(m.GetFrom())
			return nil, err
		}
		r.current = next
		r.counts.begin(m.GetFrom())
		r.cfg.Logger.Info("receiving database snapshot", zap.String("remote-peer-id", fmt.Sprintf("%x", m.GetFrom())),
			zap.Uint64("incoming-snapshot-index", index), zap.Int("files", len(o.Files)))
	}
	r.current.heard = r.now()
	return &answer{Offer: id, Lacks: r.current.lacks()}, nil
}

// find returns the state that a request belongs to. The caller holds mu.
func (r *Receiver) find(req *http.Request) (*incoming, error) {
	if r.current == nil || r.current.id != req.Header.Get(headerOffer) {
		return nil, refuse(http.StatusConflict, "this state is not being received; offer it again")
	}
	r.current.heard = r.now()
	return r.current, nil
}

func (r *Receiver) serveChunk(w http.ResponseWriter, req *http.Request) error {
	if err := enter(r.bodies); err != nil {
		return err
	}
	defer func() { <-r.bodies }()
	offset, err := strconv.ParseInt(req.Header.Get(headerOffset), 10, 64)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid offset")
	}
	b, err := r.body(w, req, chunkBytes)
	if err != nil {
		return err
	}
	if checksumOf(b) != req.Header.Get(headerChecksum) {
		return refuse(http.StatusBadRequest, "the chunk was damaged on its way")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	in, err := r.find(req)
	if err != nil {
		return err
	}
	if err := in.write(req.Context(), req.Header.Get(headerFile), offset, b); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveComplete makes the state ready to be installed, and waits until it is.
func (r *Receiver) serveComplete(w http.ResponseWriter, req *http.Request) error {
	index, err := r.hand(req)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(req.Context(), installTimeout)
	defer cancel()
	if err := r.cfg.WaitApplied(ctx, index); err != nil {
		return fmt.Errorf("the state of entry %d is not installed yet: %w", index, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// hand seals the state and hands it to raft.
func (r *Receiver) hand(req *http.Request) (index uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in, err := r.find(req)
	if err != nil {
		return 0, err
	}
	if n := len(in.lacks()); n > 0 {
		return 0, refuse(http.StatusConflict, "%d files are not here yet", n)
	}
	r.current = nil
	err = r.give(req.Context(), in.dir, in.name, in.message, in.received, in.began)
	r.counts.end(in.message.GetFrom(), r.now().Sub(in.began), err)
	return in.message.GetSnapshot().GetMetadata().GetIndex(), err
}

// give seals the engine in dir, as the state that message m speaks of, and hands m to
// raft. The caller holds mu.
func (r *Receiver) give(ctx context.Context, dir, suffix string, m *raftpb.Message, bytes int64, began time.Time) error {
	at := m.GetSnapshot().GetMetadata()
	index := at.GetIndex()
	name := enginePrefix + suffix
	// gofail: var transferBeforeSeal struct{}
	if err := r.cfg.Dirs.seal(dir, name, complete{index, at.GetTerm()}); err != nil {
		return errors.Join(err, r.cfg.Dirs.FS.RemoveAll(dir))
	}
	// gofail: var transferAfterSeal struct{}
	r.saves.Observe(r.now().Sub(began))
	r.cfg.Logger.Info("received and saved database snapshot", zap.String("remote-peer-id", fmt.Sprintf("%x", m.GetFrom())),
		zap.Uint64("incoming-snapshot-index", index), zap.Int64("bytes", bytes))
	switch err := r.cfg.Step(context.WithoutCancel(ctx), m); {
	case errors.Is(err, node.ErrNotTaken):
		if err := r.cfg.Dirs.FS.RemoveAll(r.cfg.Dirs.path(name)); err != nil {
			return err
		}
		return refuse(http.StatusConflict, "raft has no use for the state")
	case err != nil:
		return err
	}
	r.pending = index
	return nil
}
