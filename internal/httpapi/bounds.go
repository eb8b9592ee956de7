package httpapi

import (
	"io"
	"net/http"
	"time"
)

// Bounds keep a stranger from holding memory and goroutines by what it sends slowly,
// sends without end, or does not read. Heads of requests are bounded by the http.Server.
type Bounds struct {
	// Body is how long a request's body may be, in bytes, and Arrival how much time it
	// has, from its head on. A handler that reads for longer, as that of a stream, sets a
	// deadline of its own with http.ResponseController.
	Body    int64
	Arrival time.Duration
	// Departure is how long each write of an answer may wait for its reader. 0 leaves
	// that to the handlers.
	Departure time.Duration
}

// Wrap holds requests to the bounds before h sees them.
func (b Bounds) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guarded{control: *http.NewResponseController(w)}
		if b.Departure > 0 {
			x.departing = departing{ResponseWriter: w, control: &x.control, patience: b.Departure}
			x.extend() // what was left by the connection's last request is over
		}
		if r.ContentLength != 0 {
			// Errors mean that there are no deadlines: a test's recorder.
			_ = x.control.SetReadDeadline(time.Now().Add(b.Arrival))
		}
		if r.ContentLength > b.Body {
			w.Header().Set("Connection", "close")
			http.Error(w, "request body is too large", http.StatusRequestEntityTooLarge)
			return
		}
		if r.ContentLength != 0 {
			x.arriving = arriving{ReadCloser: r.Body, control: &x.control}
			if r.ContentLength < 0 { // otherwise it is as long as it says
				x.ReadCloser = http.MaxBytesReader(w, r.Body, b.Body)
			}
			r.Body = &x.arriving
		}
		if b.Departure > 0 {
			w = &x.departing
		}
		h.ServeHTTP(w, r)
	})
}

// guarded is what one request takes, in one piece of memory.
type guarded struct {
	control http.ResponseController
	arriving
	departing
}

// arriving is a body. Its deadline ends with it: the connection is read on behind it,
// to notice when the client goes away.
type arriving struct {
	io.ReadCloser
	control *http.ResponseController
}

func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if err == io.EOF {
		_ = a.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// departing is an answer each of whose writes has a deadline.
type departing struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	extended time.Time
}

// extend gives a write its time, and up to an eighth more, because a deadline is dear to
// set: most answers are written at once.
func (d *departing) extend() {
	now := time.Now()
	slack := d.patience / 8
	if now.Sub(d.extended) < slack {
		return
	}
	d.extended = now
	_ = d.control.SetWriteDeadline(now.Add(d.patience + slack))
}

// Unwrap is for http.ResponseController.
func (d *departing) Unwrap() http.ResponseWriter { return d.ResponseWriter }

func (d *departing) WriteHeader(code int) {
	d.extend()
	d.ResponseWriter.WriteHeader(code)
}

func (d *departing) Write(b []byte) (int, error) {
	d.extend()
	return d.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (d *departing) Flush() {
	d.extend()
	_ = d.control.Flush() // a client that has gone is found by the next write
}
