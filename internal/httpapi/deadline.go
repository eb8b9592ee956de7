package httpapi

import (
	"os"
	"sync"
	"time"
)

// requests is a connection over which requests come. For each of them net/http sets its
// deadlines many times, and most are over, or changed, before anything waits under them:
// a timer is set only when something is about to. Deadlines that are far away pass a
// little early, so that a busy connection seldom sets one at all.
type requests struct {
	conn
	reads, writes deadline
	idler         idler
}

func newRequests(c conn) *requests {
	r := &requests{conn: c}
	r.reads.set, r.writes.set = c.SetReadDeadline, c.SetWriteDeadline
	r.idler.wake = make(chan struct{}, 1)
	return r
}

func (r *requests) Read(b []byte) (int, error) {
	if len(b) == 1 {
		// So net/http listens, beside a request that it answers, for a client that goes
		// away. Most are answered before that is worth asking the system.
		r.idler.idle(r.reads.passed)
		if r.reads.passed() {
			return 0, os.ErrDeadlineExceeded
		}
	}
	if err := r.reads.enter(); err != nil {
		return 0, err
	}
	n, err := r.conn.Read(b)
	r.reads.leave()
	return n, err
}

func (r *requests) Write(b []byte) (int, error) {
	if err := r.writes.enter(); err != nil {
		return 0, err
	}
	n, err := r.conn.Write(b)
	r.writes.leave()
	return n, err
}

// Close also ends what waits, as that of a net.Conn does.
func (r *requests) Close() error {
	err := r.conn.Close()
	r.idler.close()
	return err
}

func (r *requests) SetReadDeadline(t time.Time) error {
	err := r.reads.want(t)
	if !t.IsZero() {
		r.idler.end()
	}
	return err
}

func (r *requests) SetWriteDeadline(t time.Time) error { return r.writes.want(t) }

func (r *requests) SetDeadline(t time.Time) error {
	if err := r.SetReadDeadline(t); err != nil {
		return err
	}
	return r.SetWriteDeadline(t)
}

// deadline is that of a connection's reads, or writes.
type deadline struct {
	set func(time.Time) error

	mu   sync.Mutex // guards what follows
	busy int        // how many are under way
	// wanted is the one to be, and given the one that the connection has.
	wanted, given time.Time
}

// want sets the deadline, also of what is under way.
func (d *deadline) want(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.busy == 0 {
		return nil
	}
	return d.give()
}

// enter is to be called before something that may wait, and leave behind it.
func (d *deadline) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.near() {
		if err := d.give(); err != nil {
			return err
		}
	}
	d.busy++
	return nil
}

func (d *deadline) leave() {
	d.mu.Lock()
	d.busy--
	d.mu.Unlock()
}

func (d *deadline) give() error {
	d.given = d.wanted
	return d.set(d.given)
}

// near tells whether the deadline given will do for the one wanted.
func (d *deadline) near() bool {
	if d.wanted.IsZero() || d.given.IsZero() {
		return d.wanted.Equal(d.given)
	}
	const share = 16 // of the time that is left
	early := d.wanted.Sub(d.given)
	return early == 0 || early > 0 && early < time.Until(d.wanted)/share
}

// passed tells whether nothing may wait any more.
func (d *deadline) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.wanted.IsZero() && time.Until(d.wanted) <= 0
}

// idler lets one goroutine be idle for a moment.
type idler struct {
	wake chan struct{} // holds one

	mu    sync.Mutex // guards what follows
	idles bool
	// closed has nothing be idle any more.
	closed bool
	timer  *time.Timer
}

// moment is longer than it takes to answer most requests.
const moment = 100 * time.Millisecond

// idle returns after a moment, or when somebody ends it, which he does once over is true.
func (i *idler) idle(over func() bool) {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		return
	}
	if i.timer == nil {
		i.timer = time.NewTimer(moment)
	} else {
		i.timer.Reset(moment)
	}
	i.idles = true
	i.mu.Unlock()
	if over() { // who made it so may have come too early to end anything
		i.end()
	}
	select {
	case <-i.wake:
	case <-i.timer.C:
		i.end()
		<-i.wake
	}
}

func (i *idler) close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.end()
}

// end ends what idles, if anything does.
func (i *idler) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.idles {
		i.idles = false
		i.wake <- struct{}{}
	}
}
