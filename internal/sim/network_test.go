package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"bowline/internal/peers"
	"bowline/internal/server"
	"bowline/internal/transfer"
	"bowline/internal/transport"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

var errUnreachable = errors.New("sim: unreachable")

// weather is what the network does to messages. The network's lock guards it.
type weather struct {
	rng     *rand.Rand
	lose    int // of a hundred
	double  int // of a hundred
	slow    int // of a hundred, up to slowest
	slowest time.Duration
}

// fate draws what becomes of a message. A forwarded proposal is not doubled: it would be carried out twice, in etcd and
// here, and the streams that real members talk over do not double.
func (f *weather) fate(p transport.Packet) []time.Duration {
	if f.rng.IntN(100) < f.lose {
		return nil
	}
	delays := []time.Duration{f.delay()}
	if f.rng.IntN(100) < f.double && p.Message.GetType() != raftpb.MsgProp {
		delays = append(delays, f.delay())
	}
	return delays
}

func (f *weather) delay() time.Duration {
	d := 100*time.Microsecond + time.Duration(f.rng.Int64N(int64(2*time.Millisecond)))
	if f.slowest > 0 && f.rng.IntN(100) < f.slow {
		d += time.Duration(f.rng.Int64N(int64(f.slowest)))
	}
	return d
}

// slowest is how long a message may be under way.
const slowest = 3 * time.Second

// setWeather changes it.
func (w *world) setWeather(lose, double, slow int, slowest time.Duration) {
	w.net.SetFate(nil) // takes the lock: nobody is in fate any more, nor comes there
	w.weather = &weather{rng: w.weather.rng, lose: lose, double: double, slow: slow, slowest: slowest}
	w.net.SetFate(w.weather.fate)
}

// setCut takes a way down or restores it.
func (w *world) setCut(from, to uint64, down bool) {
	w.net.Cut(from, to, down)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[[2]uint64{from, to}] = down
}

// reach is the life of a member that can be talked with from another, nil if there is none.
func (w *world) reach(from, to uint64) *life {
	w.mu.Lock()
	m := w.members[to]
	down := w.cut[[2]uint64{from, to}] || w.cut[[2]uint64{to, from}]
	w.mu.Unlock()
	if m == nil || down {
		return nil
	}
	l := m.life.Load()
	if l == nil || !l.isAlive() {
		return nil
	}
	return l
}

// poke wakes pump after something was sent.
func (w *world) poke() {
	select {
	case w.poked <- struct{}{}:
	default:
	}
}

// pump makes messages arrive when they are due.
func (w *world) pump() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.net.Deliver()
		if due, waiting := w.net.Next(); waiting {
			timer.Reset(time.Until(due))
		}
		select {
		case <-w.poked:
		case <-timer.C:
		case <-w.running.Done():
			return
		}
	}
}

// moveState sends a member's state to another, in place of raft's message.
func (w *world) moveState(from *life, m *raftpb.Message) {
	to := m.GetTo()
	w.mu.Lock()
	busy := w.moving[to]
	w.moving[to] = true
	w.mu.Unlock()
	if busy {
		from.node.Load().ReportSnapshot(to, raft.SnapshotFailure)
		return
	}
	w.tasks.Go(func() {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.moving[to] = false
		}()
		<-from.attached
		status := raft.SnapshotFinish
		from.use(w.running, func(ctx context.Context) {
			if err := from.sender.Send(ctx, road{w, from, to}, m); err != nil {
				w.note("member %s could not send its state to %x: %v", from.member.name, to, err)
				status = raft.SnapshotFailure
			}
		})
		from.node.Load().ReportSnapshot(to, status)
	})
}

// road is a transfer.Peer.
type road struct {
	w    *world
	from *life
	to   uint64
}

var _ transfer.Peer = road{}

func (r road) ID() uint64 { return r.to }

func (r road) Do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	header.Set("X-Etcd-Cluster-ID", fmt.Sprintf("%x", r.w.clusterID))
	header.Set("X-Server-From", fmt.Sprintf("%x", r.from.member.id))
	return r.w.call(ctx, r.from.member.id, r.to, method, path, header, b, func(l *life) http.Handler { return l.receiver })
}

// call is a request from member to member: it takes time, fails if either cannot be reached before or after, and ends
// with the life of the one that is asked.
func (w *world) call(ctx context.Context, from, to uint64, method, path string, header http.Header, body []byte, handler func(*life) http.Handler) (*http.Response, error) {
	pause(ctx, time.Millisecond)
	l := w.reach(from, to)
	if l == nil {
		return nil, errUnreachable
	}
	answer := httptest.NewRecorder()
	l.use(ctx, func(ctx context.Context) {
		req := httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
		req.Header = header
		handler(l).ServeHTTP(answer, req)
	})
	pause(ctx, time.Millisecond)
	if w.reach(from, to) != l {
		return nil, errUnreachable
	}
	return answer.Result(), nil
}

// peerClient is how a member asks the others.
func (w *world) peerClient(id uint64) *peers.Client {
	return &peers.Client{HTTP: &http.Client{Transport: asker{w, id}}, ClusterID: w.clusterID}
}

// asker is the peer client's http.RoundTripper. A URL's host is the member's name.
type asker struct {
	w    *world
	from uint64
}

func (a asker) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	name, _, _ := strings.Cut(req.URL.Host, ":")
	for _, m := range a.w.all() {
		if m.name == name {
			return a.w.call(req.Context(), a.from, m.id, req.Method, req.URL.RequestURI(), req.Header.Clone(), body,
				func(l *life) http.Handler { return l.peerMux })
		}
	}
	return nil, errUnreachable
}

// peerMux is what a member answers the others.
func (w *world) peerMux(l *life) *http.ServeMux {
	mux := http.NewServeMux()
	(&peers.Handler{API: l.server.PeerAPI(), ClusterID: w.clusterID}).Register(mux)
	mux.HandleFunc("/version", func(out http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(out, `{"etcdserver":%q,"etcdcluster":%q}`, server.Version, l.fsm.ClusterVersion())
	})
	return mux
}
