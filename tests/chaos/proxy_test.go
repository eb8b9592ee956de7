package chaos

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"bowline/internal/testkit"
)

// proxies stand between members: others reach a member by its proxy's address. A
// request's header says from whom a connection is, so that single directions of
// single links can be cut.
type proxies struct {
	mu      sync.Mutex        // guards the fields below
	names   map[string]string // of members, by ID in hexadecimal
	cut     map[link]bool
	delay   map[string]time.Duration // of what goes to and comes from a member
	changed chan struct{}            // closed when cut changes
	open    map[*tunnel]bool

	listeners []net.Listener
	tasks     sync.WaitGroup
}

// link is a direction; unknown, the empty name, is whoever has not said it yet.
type link struct{ from, to string }

func newProxies() *proxies {
	return &proxies{names: map[string]string{}, cut: map[link]bool{}, delay: map[string]time.Duration{},
		changed: make(chan struct{}), open: map[*tunnel]bool{}}
}

// Site implements testkit.Network.
func (p *proxies) Site(name string, b *testkit.Block) (testkit.Site, error) {
	l, err := net.Listen("tcp", b.Addr(2))
	if err != nil {
		return testkit.Site{}, err
	}
	p.listeners = append(p.listeners, l)
	p.tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t := &tunnel{proxies: p, to: name, dialer: conn, gone: make(chan struct{})}
			p.mu.Lock()
			p.open[t] = true
			p.mu.Unlock()
			p.tasks.Go(func() { t.run(b.Addr(1)) })
		}
	})
	return testkit.Site{Client: b.Addr(0), Peer: b.Addr(1), Reached: l.Addr().String()}, nil
}

// isolate cuts a member's links with the given others, in the directions asked for.
func (p *proxies) isolate(_ context.Context, members map[string]string, name string, others []string, in, out bool) error {
	p.change(func() {
		for id, member := range members {
			p.names[id] = member
		}
		for _, other := range append([]string{""}, others...) {
			p.cut[link{other, name}] = p.cut[link{other, name}] || in
			p.cut[link{name, other}] = p.cut[link{name, other}] || out
		}
	})
	return nil
}

// slow delays what goes to and comes from a member.
func (p *proxies) slow(_ context.Context, name string, by time.Duration) error {
	p.change(func() { p.delay[name] = by })
	return nil
}

// disturb ends all connections to a member.
func (p *proxies) disturb(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.open {
		if t.to == name {
			t.end()
		}
	}
	return nil
}

// heal mends everything.
func (p *proxies) heal(context.Context) error {
	p.change(func() {
		clear(p.cut)
		clear(p.delay)
	})
	return nil
}

func (p *proxies) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	close(p.changed)
	p.changed = make(chan struct{})
}

// close ends the proxies and waits for all that they have started.
func (p *proxies) close() error {
	for _, l := range p.listeners {
		l.Close()
	}
	p.mu.Lock()
	for t := range p.open {
		t.end()
	}
	p.mu.Unlock()
	p.tasks.Wait()
	return nil
}

// tunnel is one connection through a proxy. What it holds back while a link is cut
// is delivered afterwards, as TCP would.
type tunnel struct {
	*proxies
	to     string
	dialer net.Conn
	gone   chan struct{}
	once   sync.Once

	from string // guarded by proxies.mu; the dialer's ID in hexadecimal
}

func (t *tunnel) end() {
	t.once.Do(func() {
		close(t.gone)
		t.dialer.Close()
	})
}

func (t *tunnel) run(to string) {
	defer func() {
		t.end()
		t.mu.Lock()
		delete(t.open, t)
		t.mu.Unlock()
	}()
	target, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer target.Close()
	stop := context.AfterFunc(closing(t.gone), func() { target.Close() })
	defer stop()
	var pumps sync.WaitGroup
	pumps.Go(func() { t.pump(target, t.introduced(), true) })
	pumps.Go(func() { t.pump(t.dialer, target, false) })
	pumps.Wait()
}

// closing is a context that is done when a channel is closed.
func closing(c <-chan struct{}) context.Context { return channelContext{context.Background(), c} }

type channelContext struct {
	context.Context
	done <-chan struct{}
}

func (c channelContext) Done() <-chan struct{} { return c.done }

func (c channelContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// introduced reads the head of the first request for the name of who sends it, and
// returns a reader of everything.
func (t *tunnel) introduced() io.Reader {
	const maxHead = 16 << 10
	var head strings.Builder
	from := bufio.NewReader(io.TeeReader(io.LimitReader(t.dialer, maxHead), &head))
	lines := textproto.NewReader(from)
	if _, err := lines.ReadLine(); err == nil {
		if fields, err := lines.ReadMIMEHeader(); err == nil {
			t.mu.Lock()
			t.from = fields.Get("X-Server-From")
			t.mu.Unlock()
		}
	}
	return io.MultiReader(strings.NewReader(head.String()), t.dialer)
}

// chunk is what came in one read, and when it may be delivered.
type chunk struct {
	bytes []byte
	due   time.Time
}

// pump carries one direction until an end closes.
func (t *tunnel) pump(to io.Writer, from io.Reader, inward bool) {
	defer t.end()
	chunks := make(chan chunk, 64)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(chunks)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				select {
				case chunks <- chunk{buffer[:n], time.Now().Add(t.lag())}:
				case <-t.gone:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range chunks {
		if !t.pass(c.due, inward) {
			break
		}
		if _, err := to.Write(c.bytes); err != nil {
			break
		}
	}
	t.pass(time.Now(), inward) // the end of the connection is held back like all else
	t.end()
	reader.Wait()
}

// ends are the names of a tunnel's ends.
func (t *tunnel) ends(inward bool) link {
	from := t.names[t.from]
	if inward {
		return link{from, t.to}
	}
	return link{t.to, from}
}

func (t *tunnel) lag() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	ends := t.ends(true)
	return max(t.delay[ends.from], t.delay[ends.to])
}

// pass waits until something may be delivered; false is that it never will.
func (t *tunnel) pass(due time.Time, inward bool) bool {
	wait := time.NewTimer(time.Until(due))
	defer wait.Stop()
	for arrived := false; ; {
		t.mu.Lock()
		cut, changed := t.cut[t.ends(inward)], t.changed
		t.mu.Unlock()
		if arrived && !cut {
			return true
		}
		select {
		case <-wait.C:
			arrived = true
		case <-changed:
		case <-t.gone:
			return false
		}
	}
}
