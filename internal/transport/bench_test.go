package transport

import (
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// counting is a raft that only counts.
type counting struct{ arrived chan int }

func (c counting) Step(m ...*raftpb.Message) int            { c.arrived <- len(m); return len(m) }
func (counting) ReportUnreachable(uint64)                   {}
func (counting) ReportSnapshot(uint64, raft.SnapshotStatus) {}
func (counting) Removed(uint64) bool                        { return false }

// BenchmarkStreams sends over loopback and waits for what arrives, with as much under way as raft allows.
func BenchmarkStreams(b *testing.B) {
	data := strings.Repeat("x", 600)
	for _, c := range []struct {
		name    string
		entries int
	}{{"heartbeats", 0}, {"entries=1", 1}, {"entries=100", 100}} {
		b.Run(c.name, func(b *testing.B) {
			r := newHTTPRig(b)
			arrived := make(chan int, 1024)
			from := startCounting(b, r, 1, counting{make(chan int)})
			to := startCounting(b, r, 2, counting{arrived})
			if err := from.AddPeer(2, r.urls(2)); err != nil {
				b.Fatal(err)
			}
			if err := to.AddPeer(1, r.urls(1)); err != nil {
				b.Fatal(err)
			}
			r.ready(1, 2)
			b.ReportAllocs()
			b.SetBytes(int64(c.entries * len(data)))
			payload := make([]string, c.entries)
			for i := range payload {
				payload[i] = data
			}
			under, index := 0, uint64(10)
			for b.Loop() {
				m := message(raftpb.MsgHeartbeat, 1, 2, 3)
				if c.entries > 0 {
					m = appendOf(1, 2, 3, index, 5, payload...)
					index += uint64(c.entries)
				}
				from.Send([]*raftpb.Message{m})
				for under++; under >= 512; under -= <-arrived {
				}
			}
			for ; under > 0; under -= <-arrived {
			}
		})
	}
}

func startCounting(b *testing.B, r *httpRig, id uint64, raft Raft) *Transport {
	m := r.member(id)
	cfg := r.config(id, newFakeRaft())
	cfg.Raft = raft
	t, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	m.transport = t
	m.server.Config.Handler = t.Handler()
	m.server.Start()
	return t
}

// endless repeats the same bytes.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.data[e.at:])
	e.at = (e.at + n) % len(e.data)
	return n, nil
}

// BenchmarkFrames encodes and decodes a message of 100 entries of 600 bytes.
func BenchmarkFrames(b *testing.B) {
	data := make([]string, 100)
	for i := range data {
		data[i] = strings.Repeat("x", 600)
	}
	m := appendOf(1, 2, 3, 10, 5, data...)
	e := encoder{kind: entryStream, track: track{3, 10}}
	buf, err := e.append(nil, m)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			e.index = 10
			if buf, err = e.append(buf[:0], m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(buf)))
		d := newDecoder(entryStream, &endless{data: buf}, 1, 2)
		d.track = track{3, 10}
		for b.Loop() {
			if _, err := d.next(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
