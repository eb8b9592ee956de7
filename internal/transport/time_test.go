package transport

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/test/bufconn"
)

// inProcess is a listener within the process. What is under way is less than a stream's
// writer writes at once: it stalls with its reader.
type inProcess struct {
	*bufconn.Listener
	dials atomic.Int32
}

func listenInProcess() *inProcess { return &inProcess{Listener: bufconn.Listen(4 << 10)} }

func (p *inProcess) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.dials.Add(1)
	return p.DialContext(ctx)
}

// asking is member 1 on fake time, whose peer 2 is a handler of the test's.
func asking(t *testing.T, peer http.HandlerFunc) (*Transport, *inProcess, *observer.ObservedLogs) {
	p := listenInProcess()
	s := &http.Server{Handler: peer}
	served := make(chan error, 1)
	go func() { served <- s.Serve(p) }()
	core, logs := observer.New(zapcore.InfoLevel)
	tr, err := New(Config{ID: 1, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: newFakeRaft(),
		Dial: p.dial, Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		tr.Stop()
		<-served
	})
	mustAdd(t, tr.AddPeer(2, []string{"http://two:2380"}))
	return tr, p, logs
}

// TestRedialIsLimited: a peer that refuses is asked ten times a second for each stream.
func TestRedialIsLimited(t *testing.T) {
	asked := make(chan string, 1000)
	refuse := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != pathProbing {
			asked <- r.URL.Path
		}
		http.Error(w, "error sender not found", http.StatusNotFound)
	}
	synctest.Test(t, func(t *testing.T) {
		tr, _, _ := asking(t, refuse)
		time.Sleep(10*time.Second - time.Millisecond)
		synctest.Wait()
		if n := len(asked); n != 200 {
			t.Errorf("asked %d times in 10 s for two streams", n)
		}
		if !tr.ActiveSince(2).IsZero() {
			t.Error("a peer that refuses is active")
		}
	})
}

// TestSilentStreamEnds: a stream without signs of life is given up after 5 s.
func TestSilentStreamEnds(t *testing.T) {
	var asked atomic.Int32
	silent := func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 2 { // after that nobody is active again, whichever stream is first to be given up
			http.Error(w, "error sender not found", http.StatusNotFound)
			return
		}
		w.Header().Set("X-Server-Version", "3.7.1")
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	synctest.Test(t, func(t *testing.T) {
		tr, p, logs := asking(t, silent)
		time.Sleep(3 * time.Second) // before the first probe
		synctest.Wait()
		if n := p.dials.Load(); n != 2 || tr.ActiveSince(2).IsZero() {
			t.Errorf("dialled %d times, active since %v", n, tr.ActiveSince(2))
		}
		time.Sleep(stallTimeout - 3*time.Second)
		synctest.Wait()
		if n := logs.FilterMessage("lost TCP streaming connection with remote peer").Len(); n != 2 {
			t.Errorf("%d streams are lost, want 2: %v", n, logs.All())
		}
		if n := logs.FilterMessage("peer became inactive (message send to peer failed)").Len(); n != 1 {
			t.Errorf("became inactive %d times", n)
		}
	})
}

// TestProbesMeasure: round trips are counted, a strange clock is told once in a while.
func TestProbesMeasure(t *testing.T) {
	ahead := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != pathProbing {
			http.Error(w, "invalid path", http.StatusNotFound)
			return
		}
		<-time.After(20 * time.Millisecond)
		body, _ := time.Now().Add(3 * time.Second).MarshalJSON()
		_, _ = w.Write([]byte(`{"OK":true,"Now":` + string(body) + `}`))
	}
	synctest.Test(t, func(t *testing.T) {
		tr, _, logs := asking(t, ahead)
		time.Sleep(42 * time.Second)
		synctest.Wait()
		s := tr.Peers()[0].RoundTrips
		if s.Count != 10 || time.Duration(s.Sum) != 200*time.Millisecond {
			t.Errorf("%d probes took %v", s.Count, time.Duration(s.Sum))
		}
		drift := logs.FilterMessage("prober found high clock drift")
		if drift.Len() != 2 || drift.All()[0].ContextMap()["clock-drift"] != -3*time.Second-10*time.Millisecond {
			t.Errorf("told %v", drift.All())
		}
	})
}

// TestStreamsStayAlive: with nothing to send, signs of life keep the streams.
func TestStreamsStayAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := listenInProcess(), newFakeRaft()
		two, err := New(Config{ID: 2, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: newFakeRaft(),
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }})
		if err != nil {
			t.Fatal(err)
		}
		mustAdd(t, two.AddPeer(1, []string{"http://one:2380"}))
		// The server's own limits, as for requests, must not end a stream.
		s := &http.Server{Handler: two.Handler(), ReadTimeout: time.Second, WriteTimeout: time.Second}
		served := make(chan error, 1)
		go func() { served <- s.Serve(p) }()
		one, err := New(Config{ID: 1, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: f, Dial: p.dial})
		if err != nil {
			t.Fatal(err)
		}
		mustAdd(t, one.AddPeer(2, []string{"http://two:2380"}))
		since := time.Now()
		time.Sleep(time.Hour)
		two.Send([]*raftpb.Message{appendOf(2, 1, 3, 4, 0, "x"), message(raftpb.MsgHeartbeat, 2, 1, 3)})
		synctest.Wait()
		if len(f.received) != 2 || one.ActiveSince(2) != since {
			t.Errorf("came %v, active since %v, want %v", f.received, one.ActiveSince(2), since)
		}
		one.Stop()
		two.Stop()
		s.Close()
		<-served
	})
}

// TestStopDoesNotWaitForAStalledReader, though a write may take 5 s otherwise.
func TestStopDoesNotWaitForAStalledReader(t *testing.T) {
	for name, stop := range map[string]bool{"stopped": true, "stalled": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, f := listenInProcess(), newFakeRaft()
				tr, err := New(Config{ID: 2, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: f,
					Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }})
				if err != nil {
					t.Fatal(err)
				}
				mustAdd(t, tr.AddPeer(1, []string{"http://one:2380"}))
				s := &http.Server{Handler: tr.Handler()}
				served := make(chan error, 1)
				go func() { served <- s.Serve(p) }()
				c, err := p.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				if err := request("GET", "http://two/raft/stream/msgapp/1", "", "").Write(c); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Read(make([]byte, 4096)); err != nil { // the header, and never more
					t.Fatal(err)
				}
				synctest.Wait()
				tr.Send([]*raftpb.Message{appendOf(2, 1, 3, 4, 0, string(make([]byte, 1<<20)))})
				synctest.Wait()
				start, want := time.Now(), time.Duration(0)
				if !stop {
					want = stallTimeout
					time.Sleep(stallTimeout)
					synctest.Wait()
					if f.unreachable[1] != 1 {
						t.Errorf("reported %v", f.unreachable)
					}
				}
				tr.Stop()
				if d := time.Since(start); d != want {
					t.Errorf("stopped after %v, want %v", d, want)
				}
				c.Close()
				s.Close()
				<-served
			})
		})
	}
}
