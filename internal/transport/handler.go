package transport

import (
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Handler serves the paths of the protocol that carry messages, and those alone.
func (t *Transport) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(pathMessages, t.serveMessage)
	mux.HandleFunc(pathStreams, t.serveStream)
	mux.HandleFunc(pathProbing, t.serveProbe)
	return mux
}

// allow refuses other methods than one.
func allow(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method {
		return true
	}
	w.Header().Set("Allow", method)
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return false
}

// Admit makes the checks that all requests of members have in common, and answers those it refuses. It remembers a sender
// that is not known if remember is set, so that it can be answered.
func (t *Transport) Admit(w http.ResponseWriter, r *http.Request, remember bool) bool {
	w.Header().Set(headerCluster, t.cluster)
	theirs, err := parseHeader(r.Header.Get(headerVersion))
	oldest, err2 := parseHeader(r.Header.Get(headerOldest))
	if err := errors.Join(err, err2); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	if theirs.before(t.oldest) || t.version.before(oldest) {
		t.log.Warn("failed version compatibility check", zap.String("local-member-id", t.id),
			zap.String("remote-peer-id", r.Header.Get(headerFrom)), zap.String("remote-peer-server-version", r.Header.Get(headerVersion)))
		http.Error(w, sayVersion, http.StatusPreconditionFailed)
		return false
	}
	if cluster := r.Header.Get(headerCluster); cluster != t.cluster {
		t.log.Warn("request cluster ID mismatch", zap.String("local-member-id", t.id), zap.String("local-member-cluster-id", t.cluster),
			zap.String("remote-peer-id", r.Header.Get(headerFrom)), zap.String("remote-peer-cluster-id", cluster))
		http.Error(w, sayCluster, http.StatusPreconditionFailed)
		return false
	}
	if from, err := strconv.ParseUint(r.Header.Get(headerFrom), 16, 64); err == nil && remember {
		return t.remember(w, r, from)
	}
	return true
}

// remember adds a sender as a remote.
func (t *Transport) remember(w http.ResponseWriter, r *http.Request, from uint64) bool {
	urls := r.Header.Get(headerPeerURLs)
	if urls == "" {
		return true
	}
	if err := t.AddRemote(from, strings.Split(urls, ",")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// serveMessage takes one message by POST.
func (t *Transport) serveMessage(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodPost) || !t.Admit(w, r, true) {
		return
	}
	body, release, err := t.bodies.read(http.MaxBytesReader(w, r.Body, MaxPostBytes))
	defer release()
	if err != nil {
		t.log.Warn("failed to read Raft message", zap.String("local-member-id", t.id), zap.Error(err))
		http.Error(w, "error reading raft message", http.StatusBadRequest)
		return
	}
	m := new(raftpb.Message)
	if err := proto.Unmarshal(body, m); err != nil {
		t.log.Warn("failed to unmarshal Raft message", zap.String("local-member-id", t.id), zap.Error(err))
		http.Error(w, "error unmarshalling raft message", http.StatusBadRequest)
		return
	}
	p := t.peer(m.GetFrom())
	if p != nil {
		p.figures.receivedBytes.Add(uint64(len(body)))
	}
	switch err := t.step(m); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	case errors.Is(err, errRemoved):
		http.Error(w, "cannot process message from removed member", http.StatusForbidden)
	default:
		t.log.Warn("failed to process Raft message", zap.String("local-member-id", t.id), zap.Error(err))
		http.Error(w, "error processing raft message", http.StatusInternalServerError)
	}
	if p != nil {
		p.figures.receivedFailures.Add(1)
	}
}

// serveStream opens a stream over which this member will send.
func (t *Transport) serveStream(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet) {
		return
	}
	w.Header().Set(headerVersion, t.cfg.Version)
	if !t.Admit(w, r, false) {
		return
	}
	kind, ok := kindOf(path.Dir(r.URL.Path))
	if !ok {
		t.log.Debug("ignored unexpected streaming request path", zap.String("local-member-id", t.id), zap.String("path", r.URL.Path))
		http.Error(w, "invalid path", http.StatusNotFound)
		return
	}
	from, err := strconv.ParseUint(path.Base(r.URL.Path), 16, 64)
	if err != nil {
		http.Error(w, "invalid from", http.StatusNotFound)
		return
	}
	if t.cfg.Raft.Removed(from) {
		t.log.Warn("rejected stream from remote peer because it was removed",
			zap.String("local-member-id", t.id), zap.String("remote-peer-id-from", hex(from)))
		http.Error(w, sayRemoved, http.StatusGone)
		return
	}
	p := t.member(from)
	if p == nil {
		if t.remember(w, r, from) {
			t.log.Debug("failed to find remote peer in cluster",
				zap.String("local-member-id", t.id), zap.String("remote-peer-id-from", hex(from)))
			http.Error(w, "error sender not found", http.StatusNotFound)
		}
		return
	}
	if to := r.Header.Get(headerTo); to != t.id {
		t.log.Warn("ignored streaming request; ID mismatch", zap.String("local-member-id", t.id),
			zap.String("remote-peer-id-from", hex(from)), zap.String("remote-peer-id-header", to))
		http.Error(w, "to field mismatch", http.StatusPreconditionFailed)
		return
	}
	if !t.enter() {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	defer t.running.Done()
	w.Header().Set("Connection", "close") // its deadlines are a stream's
	w.WriteHeader(http.StatusOK)
	p.serve(r.Context(), kind, w)
}

func kindOf(dir string) (streamKind, bool) {
	for kind := range streamKinds {
		if dir == pathStreams+kind.path() {
			return kind, true
		}
	}
	return 0, false
}

// health is the answer to a probe.
type health struct {
	OK  bool
	Now time.Time
}

// serveProbe tells that this member is alive, and the time.
func (t *Transport) serveProbe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set(headerOfContents, "text/plain; charset=utf-8") // as etcd's, which does not say what it is
	if err := json.NewEncoder(w).Encode(health{OK: true, Now: time.Now()}); err != nil {
		t.log.Debug("failed to answer a probe", zap.Error(err))
	}
}
