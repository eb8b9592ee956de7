package httpapi

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// bounded serves a handler within bounds.
func bounded(t *testing.T, b Bounds, h http.HandlerFunc) string {
	s := httptest.NewServer(b.Wrap(h))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// exchange sends text on a new connection and returns the first answer.
func exchange(t *testing.T, addr, text string) (status int, body string, c net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error(), c
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), c
}

func TestBodiesAreBounded(t *testing.T) {
	addr := bounded(t, Bounds{Body: 10, Arrival: 100 * time.Millisecond, Departure: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		} else if err != nil {
			http.Error(w, "not read", http.StatusBadRequest)
		} else {
			w.Write(b)
		}
	})
	const post = "POST / HTTP/1.1\r\nHost: a\r\n"
	for _, c := range []struct {
		name, text string
		status     int
		body       string
	}{
		{"none", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""},
		{"as long as may be", post + "Content-Length: 10\r\n\r\n0123456789", 200, "0123456789"},
		{"longer", post + "Content-Length: 11\r\n\r\n01234567890", 413, "request body is too large\n"},
		{"longer, in chunks", post + "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", 413, "too large\n"},
		{"slow", post + "Content-Length: 10\r\n\r\n012345678", 400, "not read\n"},
	} {
		if status, body, _ := exchange(t, addr, c.text); status != c.status || body != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.name, status, body, c.status, c.body)
		}
	}
}

// TestDeadlineEndsWithTheBody: a handler may take its time once it has what it wants.
func TestDeadlineEndsWithTheBody(t *testing.T) {
	const arrival = 50 * time.Millisecond
	addr := bounded(t, Bounds{Body: 10, Arrival: arrival, Departure: arrival}, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the request was given up")
		case <-time.After(5 * arrival):
		}
		io.WriteString(w, "late")
	})
	if status, body, _ := exchange(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n0"); status != 200 || body != "late" {
		t.Errorf("%d %q", status, body)
	}
}

// TestUnreadBodyIsNotWaitedFor: the server reads what a handler has left, but not for
// ever.
func TestUnreadBodyIsNotWaitedFor(t *testing.T) {
	addr := bounded(t, Bounds{Body: 1 << 20, Arrival: 50 * time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
	_, _, c := exchange(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n0")
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection goes on: %v", err)
	}
}

// TestReaderThatDoesNotRead: its answer is given up.
func TestReaderThatDoesNotRead(t *testing.T) {
	failed := make(chan error, 1)
	addr := bounded(t, Bounds{Departure: 50 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
		text := strings.Repeat("x", 1<<20)
		for range 1 << 10 {
			if _, err := io.WriteString(w, text); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("a gigabyte went to nobody")
	}
}
