package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"bowline/internal/cluster"
	"bowline/internal/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// MaxQuestionBytes bounds the body of a question, as etcd does.
const MaxQuestionBytes = 64 << 10

// API is what a member answers the others. Its errors are the ones of this package
// where they fit.
type API interface {
	// Members is the list as applied here.
	Members() []cluster.Member
	// Promote makes a learner a voter; the member asked should lead.
	Promote(ctx context.Context, id uint64) ([]cluster.Member, error)
	// HashKV hashes the key space; a *HashRefusal tells why it cannot.
	HashKV(ctx context.Context, revision int64) (HashKV, error)
	// TreeHash hashes the tree of API v2, at an index or at what is here.
	TreeHash(ctx context.Context, index uint64) (v2.Hash, error)
	RenewLease(ctx context.Context, id int64) (ttl int64, err error)
	LeaseTimeToLive(ctx context.Context, req *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error)
	DowngradeEnabled(ctx context.Context) (bool, error)
}

type hashRequest struct {
	Revision int64 `json:"revision,omitempty"`
}

// Handler answers on the peer port.
type Handler struct {
	API       API
	ClusterID uint64
}

// Register adds the paths to mux.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc(pathMembers, only(http.MethodGet, h.members))
	mux.HandleFunc(pathPromote, only(http.MethodPost, h.promote))
	mux.HandleFunc(pathHashKV, only(http.MethodGet, h.hashKV))
	mux.HandleFunc(pathTreeHash, only(http.MethodGet, h.treeHash))
	mux.HandleFunc(pathLeases, only(http.MethodPost, h.renew))
	mux.HandleFunc(pathLeasesDetails, only(http.MethodPost, h.timeToLive))
	mux.HandleFunc(pathDowngrade, only(http.MethodGet, h.downgrade))
}

// only lets one method through.
func only(method string, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		handle(w, r)
	}
}

func (h *Handler) identify(w http.ResponseWriter) {
	w.Header().Set(headerClusterID, strconv.FormatUint(h.ClusterID, 16))
}

func (h *Handler) members(w http.ResponseWriter, _ *http.Request) {
	h.identify(w)
	writeMembers(w, h.API.Members())
}

func writeMembers(w http.ResponseWriter, members []cluster.Member) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(members) // the connection is gone: nobody is left to tell
}

func (h *Handler) promote(w http.ResponseWriter, r *http.Request) {
	h.identify(w)
	text := strings.TrimPrefix(r.URL.Path, pathPromote)
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		http.Error(w, fmt.Sprintf("member %s not found in cluster", text), http.StatusNotFound)
		return
	}
	members, err := h.API.Promote(r.Context(), id)
	switch {
	case err == nil:
		writeMembers(w, members)
	case errors.Is(err, ErrMemberNotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrNotLearner), errors.Is(err, ErrNotReady):
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"message":"Internal Server Error"}`)
	}
}

// sameCluster has answered if it is false.
func (h *Handler) sameCluster(w http.ResponseWriter, r *http.Request) bool {
	id := r.Header.Get(headerClusterID)
	if id == "" || id == strconv.FormatUint(h.ClusterID, 16) {
		return true
	}
	http.Error(w, ErrWrongCluster.Error(), http.StatusPreconditionFailed)
	return false
}

func (h *Handler) hashKV(w http.ResponseWriter, r *http.Request) {
	if !h.sameCluster(w, r) {
		return
	}
	body, ok := question(w, r)
	if !ok {
		return
	}
	var req hashRequest
	if err := json.Unmarshal(body, &req); err != nil {
		http.Error(w, "error unmarshalling request", http.StatusBadRequest)
		return
	}
	hash, err := h.API.HashKV(r.Context(), req.Revision)
	if err != nil {
		code := http.StatusInternalServerError
		if refusal := (*HashRefusal)(nil); errors.As(err, &refusal) {
			code = http.StatusBadRequest
		}
		http.Error(w, err.Error(), code)
		return
	}
	h.writeJSON(w, hash)
}

func (h *Handler) writeJSON(w http.ResponseWriter, v any) {
	h.identify(w)
	w.Header().Set("Content-Type", "application/json")
	out, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(out)
}

func (h *Handler) treeHash(w http.ResponseWriter, r *http.Request) {
	if !h.sameCluster(w, r) {
		return
	}
	index, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	if err != nil {
		http.Error(w, "index is not a number", http.StatusBadRequest)
		return
	}
	hash, err := h.API.TreeHash(r.Context(), index)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.writeJSON(w, hash)
}

// question reads a bounded body; it has answered if it is not ok.
func question(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxQuestionBytes))
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case err == nil:
		return body, true
	case errors.As(err, &tooLarge):
		http.Error(w, "request body is too large", http.StatusRequestEntityTooLarge)
	default:
		http.Error(w, "error reading body", http.StatusBadRequest)
	}
	return nil, false
}

func leaseFailure(w http.ResponseWriter, err error, demoted int) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrLeaseNotFound):
		code = http.StatusNotFound
	case errors.Is(err, ErrNotPrimary):
		code = demoted
	case errors.Is(err, ErrBehind):
		code = http.StatusRequestTimeout
	}
	http.Error(w, err.Error(), code)
}

func (h *Handler) renew(w http.ResponseWriter, r *http.Request) {
	body, ok := question(w, r)
	if !ok {
		return
	}
	req := new(pb.LeaseKeepAliveRequest)
	if err := proto.Unmarshal(body, req); err != nil {
		http.Error(w, "error unmarshalling request", http.StatusBadRequest)
		return
	}
	ttl, err := h.API.RenewLease(r.Context(), req.ID)
	if err != nil {
		leaseFailure(w, err, http.StatusBadRequest)
		return
	}
	writeProtobuf(w, &pb.LeaseKeepAliveResponse{ID: req.ID, TTL: ttl}, nil)
}

func (h *Handler) timeToLive(w http.ResponseWriter, r *http.Request) {
	body, ok := question(w, r)
	if !ok {
		return
	}
	inner, err := unwrap(body)
	req := new(pb.LeaseTimeToLiveRequest)
	if err == nil {
		err = proto.Unmarshal(inner, req)
	}
	if err != nil {
		http.Error(w, "error unmarshalling request", http.StatusBadRequest)
		return
	}
	resp, err := h.API.LeaseTimeToLive(r.Context(), req)
	if err != nil {
		leaseFailure(w, err, http.StatusInternalServerError)
		return
	}
	writeProtobuf(w, resp, wrap)
}

func writeProtobuf(w http.ResponseWriter, m proto.Message, wrap func([]byte) []byte) {
	out, err := proto.Marshal(m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if wrap != nil {
		out = wrap(out)
	}
	w.Header().Set("Content-Type", protobufType)
	_, _ = w.Write(out)
}

func (h *Handler) downgrade(w http.ResponseWriter, r *http.Request) {
	h.identify(w)
	enabled, err := h.API.DowngradeEnabled(r.Context())
	if err != nil {
		http.Error(w, fmt.Sprintf("failed linearized read: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, strconv.FormatBool(enabled))
}
