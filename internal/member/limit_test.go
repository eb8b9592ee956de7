package member

import (
	"net"
	"testing"
	"time"
)

func TestConnectionLimitLeavesDescriptors(t *testing.T) {
	for descriptors, want := range map[uint64]int{151: 1, 1024: 874, 1 << 63: 1 << 30} {
		if n, err := connectionLimit(descriptors); n != want || err != nil {
			t.Errorf("%d descriptors: %d connections (%v), want %d", descriptors, n, err, want)
		}
	}
	for _, descriptors := range []uint64{0, 150} {
		if _, err := connectionLimit(descriptors); err == nil {
			t.Errorf("%d descriptors were enough", descriptors)
		}
	}
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	listeners := []*port{{Listener: listenLocal(t)}, {Listener: listenLocal(t)}}
	limitConnections(listeners, 2)
	accepted := make(chan net.Conn)
	for _, l := range listeners {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
	}
	for i := range 3 {
		c, err := net.Dial("tcp", listeners[i%2].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third connection was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives back one place, not two
	(<-accepted).Close()
	second.Close()
}

func TestCloseEndsAnAcceptThatWaits(t *testing.T) {
	listeners := []*port{{Listener: listenLocal(t)}}
	limitConnections(listeners, 1)
	client, err := net.Dial("tcp", listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	only, err := listeners[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer only.Close()
	waiting, err := net.Dial("tcp", listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	ended := make(chan error)
	go func() {
		_, err := listeners[0].Accept()
		ended <- err
	}()
	listeners[0].Close()
	if err := <-ended; err == nil {
		t.Error("Accept returned a connection after Close")
	}
}
