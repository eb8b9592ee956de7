package v2http

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"bowline/internal/v2"
)

// What a path may be at most: the cost of making the directories on the way grows with
// both.
const (
	maxPathBytes = 64 << 10
	maxPathDepth = 512
)

// keyOf is the key that a request names, as it was sent.
func keyOf(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/v2/keys") }

func (a *API) keys(w http.ResponseWriter, r *http.Request) {
	a.identify(w)
	key := keyOf(r)
	if len(key) > maxPathBytes || strings.Count(key, "/") > maxPathDepth {
		http.Error(w, "the key is too long", http.StatusRequestURITooLong)
		return
	}
	p, refusal := a.readParams(w, r)
	if refusal != nil {
		a.fail(w, refusal)
		return
	}
	allowed, err := a.mayUseKey(r, key, p.recursive)
	switch {
	case err != nil:
		a.fail(w, err)
		return
	case !allowed:
		a.fail(w, v2.NewError(v2.CodeUnauthorized, "Insufficient credentials", 0))
		return
	}
	name := v2.KeysPrefix + strings.TrimSuffix(key, "/") // which is clean but for that
	switch {
	case r.Method == http.MethodGet && p.wait && !p.quorum:
		a.watch(w, r, name, p)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		a.get(w, r, name, p)
	default:
		a.change(w, r, name, p)
	}
}

// fail answers with an error of the tree; what comes from elsewhere is one of raft's.
func (a *API) fail(w http.ResponseWriter, err error) {
	var e *v2.Error
	if !errors.As(err, &e) {
		e = v2.NewError(v2.CodeRaft, err.Error(), 0)
	}
	w.Header().Set(headerIndex, strconv.FormatUint(e.Index, 10))
	answer(w, e.Status(), e)
}

// head sends the headers of a success.
func (a *API) head(w http.ResponseWriter, status int, index uint64) {
	commit, term := a.Member.Progress()
	values := []string{contentJSON, strconv.FormatUint(index, 10), strconv.FormatUint(commit, 10), strconv.FormatUint(term, 10)}
	h := w.Header()
	for i, name := range []string{"Content-Type", headerIndex, headerRaftIndex, headerRaftTerm} {
		h[name] = values[i : i+1 : i+1] // the names are in their canonical form
	}
	w.WriteHeader(status)
}

func (a *API) get(w http.ResponseWriter, r *http.Request, name string, p *params) {
	if p.quorum && r.Method == http.MethodGet {
		if err := a.Member.Current(r.Context()); err != nil {
			a.fail(w, err)
			return
		}
	}
	read, err := a.Member.Tree().Read(name, p.recursive, now())
	if err != nil {
		a.fail(w, trimmed(err))
		return
	}
	defer read.Close()
	a.head(w, http.StatusOK, read.Index)
	err = read.Write(func(b []byte) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		// The answer has begun: cut off it cannot be taken for whole.
		panic(http.ErrAbortHandler)
	}
}

// trimmed leaves out of a cause where in the tree keys are.
func trimmed(err error) error {
	var e *v2.Error
	if !errors.As(err, &e) {
		return err
	}
	return v2.NewError(e.Code, strings.TrimPrefix(e.Cause, v2.KeysPrefix), e.Index)
}

func (a *API) change(w http.ResponseWriter, r *http.Request, name string, p *params) {
	e, err := a.Member.Change(r.Context(), p.request(r.Method, name))
	if err == nil && e == nil {
		err = errors.New("the change has no event")
	}
	if err != nil {
		a.fail(w, err)
		return
	}
	status := http.StatusOK
	if e.Created() {
		status = http.StatusCreated
	}
	a.head(w, status, e.Index())
	buffer := a.buffers.get()
	defer a.buffers.put(buffer)
	if p.noValue && shortened(e.Action) {
		buffer.WriteString(`{"action":"` + e.Action + "\"}\n")
	} else {
		buffer.Write(e.AppendJSON(buffer.AvailableBuffer()))
	}
	_, _ = w.Write(buffer.Bytes()) // the connection is gone: nobody is left to tell
}

// shortened tells whether noValueOnSuccess means anything to an action.
func shortened(action string) bool {
	switch action {
	case v2.ActionSet, v2.ActionCreate, v2.ActionUpdate, v2.ActionCompareAndSwap:
		return true
	}
	return false
}

func (a *API) watch(w http.ResponseWriter, r *http.Request, name string, p *params) {
	if !a.bounds.enter() {
		http.Error(w, "too many watches", http.StatusServiceUnavailable)
		return
	}
	defer a.bounds.leave()
	watcher, err := a.Member.Tree().Watch(name, p.recursive, p.stream, p.waitIndex)
	if err != nil {
		a.fail(w, err)
		return
	}
	defer watcher.Close()
	a.head(w, http.StatusOK, watcher.Index)
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return
	}
	for {
		select {
		case e := <-watcher.Events:
			if _, err := w.Write(e.JSON()); err != nil {
				return
			}
			if !p.stream || flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-a.Stopping:
			panic(http.ErrAbortHandler)
		}
	}
}
