package httpapi

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts how often a deadline is set.
type counted struct {
	net.Conn
	reads, writes int
}

func (c *counted) SetReadDeadline(t time.Time) error {
	c.reads++
	return c.Conn.SetReadDeadline(t)
}

func (c *counted) SetWriteDeadline(t time.Time) error {
	c.writes++
	return c.Conn.SetWriteDeadline(t)
}

// connected returns both ends of a connection.
func connected(t *testing.T) (*requests, *counted, net.Conn) {
	server, client := net.Pipe()
	c := &counted{Conn: server}
	r := newRequests(conn{Conn: c})
	t.Cleanup(func() {
		client.Close()
		r.Close()
	})
	return r, c, client
}

// read reads n bytes at most, and tells how long that took.
func read(r *requests, n int) (took time.Duration, got int, err error) {
	start := time.Now()
	got, err = r.Read(make([]byte, n))
	return time.Since(start), got, err
}

// TestDeadlinesPass has everything that waits end at its deadline, also when that is set
// while it waits, and with one byte to read as with many.
func TestDeadlinesPass(t *testing.T) {
	for _, n := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			r, _, _ := connected(t)
			r.SetDeadline(time.Now().Add(time.Minute))
			if took, _, err := read(r, n); took != time.Minute || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes: %v after %v", n, err, took)
			}
			r.SetReadDeadline(time.Time{})
			time.AfterFunc(time.Second, func() { r.SetReadDeadline(time.Unix(1, 0)) })
			if took, _, err := read(r, n); took != time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes: %v after %v", n, err, took)
			}
			if took, _, err := read(r, n); took != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes, the deadline has passed: %v after %v", n, err, took)
			}
			r.SetReadDeadline(time.Time{})
			time.AfterFunc(moment/2, func() { r.SetReadDeadline(time.Unix(1, 0)) })
			if took, _, err := read(r, n); took != moment/2 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes: %v after %v", n, err, took)
			}
			r.SetWriteDeadline(time.Now().Add(time.Second))
			start := time.Now()
			if _, err := r.Write(make([]byte, n)); time.Since(start) != time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes written: %v after %v", n, err, time.Since(start))
			}
		})
	}
}

// TestEndsAreNoticed has a reader notice, by one byte, that the client goes away or that
// the connection is closed here, and get a byte that comes.
func TestEndsAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, client := connected(t)
		go io.WriteString(client, "x")
		if took, n, err := read(r, 1); n != 1 || err != nil || took > moment {
			t.Errorf("a byte: %d, %v after %v", n, err, took)
		}
		time.AfterFunc(moment/2, func() { client.Close() })
		if took, _, err := read(r, 1); !errors.Is(err, io.EOF) || took > moment {
			t.Errorf("the client went away: %v after %v", err, took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := connected(t)
		time.AfterFunc(moment/2, func() { r.Close() })
		if took, _, err := read(r, 1); err == nil || took != moment/2 {
			t.Errorf("closed here: %v after %v", err, took)
		}
		if took, _, err := read(r, 1); err == nil || took != 0 {
			t.Errorf("closed before: %v after %v", err, took)
		}
	})
}

// TestDeadlinesAreSeldomSet: those that nothing waits under are not set, nor is one that is
// near the one set; none passes earlier than by a sixteenth.
func TestDeadlinesAreSeldomSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, client := connected(t)
		go io.Copy(io.Discard, client)
		for range 100 {
			r.SetReadDeadline(time.Now().Add(time.Second))
			r.SetReadDeadline(time.Time{})
			r.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := r.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			r.SetWriteDeadline(time.Time{})
			time.Sleep(time.Second / 10)
		}
		if c.reads != 0 || c.writes < 2 || c.writes > 4 {
			t.Errorf("deadlines of reads were set %d times, of writes %d times in 10 s", c.reads, c.writes)
		}
		r.SetReadDeadline(time.Now().Add(time.Minute))
		go io.WriteString(client, "xx")
		if _, n, err := read(r, 2); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(2 * time.Second)
		r.SetReadDeadline(time.Now().Add(time.Minute))
		if took, _, err := read(r, 2); took < time.Minute*15/16 || took > time.Minute || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
	})
}
