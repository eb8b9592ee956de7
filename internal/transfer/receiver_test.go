package transfer

import (
	"bytes"
	"context"
	"encoding/json"

	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// fullFS is a disk with little room.
type fullFS struct{ vfs.FS }

func (fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1000, TotalBytes: 1 << 30}, nil
}

func goodMessage() *raftpb.Message {
	m := message(followerID)
	m.Snapshot.Metadata = &raftpb.SnapshotMetadata{Index: proto.Uint64(100), Term: proto.Uint64(1),
		ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}
	return m
}

func encodeOffer(t *testing.T, m *raftpb.Message, files ...File) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	must(t, err)
	encoded, err := json.Marshal(offer{Message: b, Files: files})
	must(t, err)
	return encoded
}

func file(name string, size int64) File {
	return File{Name: name, Size: size, SHA256: strings.Repeat("0", 64)}
}

// TestHostileOffers are refused, and nothing is written for them.
func TestHostileOffers(t *testing.T) {
	other := goodMessage()
	other.To = proto.Uint64(3)
	vote := goodMessage()
	vote.Type = raftpb.MsgVote.Enum()
	ok := file("000001.sst", 10)
	badSum := ok
	badSum.SHA256 = "zz"
	tests := map[string]struct {
		body   []byte
		header map[string]string
		code   int
	}{
		"another cluster":  {encodeOffer(t, goodMessage(), ok), map[string]string{headerCluster: "8"}, http.StatusPreconditionFailed},
		"nobody":           {encodeOffer(t, goodMessage(), ok), map[string]string{headerFrom: ""}, http.StatusBadRequest},
		"somebody else":    {encodeOffer(t, goodMessage(), ok), map[string]string{headerFrom: "3"}, http.StatusBadRequest},
		"removed":          {encodeOffer(t, goodMessage(), ok), map[string]string{headerFrom: "63"}, http.StatusGone},
		"for another":      {encodeOffer(t, other, ok), nil, http.StatusBadRequest},
		"a vote":           {encodeOffer(t, vote, ok), nil, http.StatusBadRequest},
		"no metadata":      {encodeOffer(t, &raftpb.Message{Type: raftpb.MsgSnap.Enum()}, ok), nil, http.StatusBadRequest},
		"noise":            {[]byte("{]"), nil, http.StatusBadRequest},
		"no files":         {encodeOffer(t, goodMessage()), nil, http.StatusBadRequest},
		"a path":           {encodeOffer(t, goodMessage(), file("../../x", 1)), nil, http.StatusBadRequest},
		"hidden":           {encodeOffer(t, goodMessage(), file(".x", 1)), nil, http.StatusBadRequest},
		"our own marker":   {encodeOffer(t, goodMessage(), file(completeName, 1)), nil, http.StatusBadRequest},
		"a part":           {encodeOffer(t, goodMessage(), file("x.part", 1)), nil, http.StatusBadRequest},
		"twice":            {encodeOffer(t, goodMessage(), ok, ok), nil, http.StatusBadRequest},
		"a negative size":  {encodeOffer(t, goodMessage(), file("x", -1)), nil, http.StatusBadRequest},
		"sizes overflow":   {encodeOffer(t, goodMessage(), file("x", 1<<62), file("y", 1<<62)), nil, http.StatusBadRequest},
		"no checksum":      {encodeOffer(t, goodMessage(), badSum), nil, http.StatusBadRequest},
		"larger than disk": {encodeOffer(t, goodMessage(), file("x", 1001)), nil, http.StatusInsufficientStorage},
		"too long":         {bytes.Repeat([]byte(" "), maxOfferBytes+1), nil, http.StatusRequestEntityTooLarge},
	}
	s := newSide(t, followerID, vfs.NewCrashableMem())
	s.receiver.cfg.Dirs.FS = fullFS{s.fs}
	s.receiver.cfg.Removed = func(id uint64) bool { return id == 0x63 }
	for name, test := range tests {
		req := httptest.NewRequest(http.MethodPost, pathOffer, bytes.NewReader(test.body))
		req.Header = http.Header{}
		req.Header.Set(headerCluster, "9")
		req.Header.Set(headerFrom, "1")
		for k, v := range test.header {
			req.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		s.receiver.ServeHTTP(w, req)
		if w.Code != test.code {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, test.code)
		}
		if left := s.left(); len(left) > 0 {
			t.Errorf("%s has left %q", name, left)
		}
	}
	for _, req := range []*http.Request{httptest.NewRequest(http.MethodGet, pathOffer, nil), httptest.NewRequest(http.MethodPost, Path+"x", nil)} {
		w := httptest.NewRecorder()
		s.receiver.ServeHTTP(w, req)
		if w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
			t.Errorf("%s %s: %d", req.Method, req.URL, w.Code)
		}
	}
	s.close()
}

// TestChunksOutOfPlace are refused; ones that come twice are not written twice.
func TestChunksOutOfPlace(t *testing.T) {
	s := newSide(t, followerID, vfs.NewCrashableMem())
	to := &link{id: followerID, handler: s.receiver}
	ctx := context.Background()
	resp, err := to.Do(ctx, http.MethodPost, pathOffer, http.Header{}, bytes.NewReader(encodeOffer(t, goodMessage(), file("a", 10))))
	must(t, err)
	var a answer
	must(t, json.NewDecoder(resp.Body).Decode(&a))
	chunk := func(offer, name, offset string, b []byte, want int) {
		t.Helper()
		resp, err := to.Do(ctx, http.MethodPost, pathChunk, http.Header{headerOffer: {offer}, headerFile: {name}, headerOffset: {offset},
			headerChecksum: {checksumOf(b)}}, bytes.NewReader(b))
		must(t, err)
		if resp.StatusCode != want {
			text, _ := io.ReadAll(resp.Body)
			t.Errorf("%d bytes at %s of %s: %d %s, want %d", len(b), offset, name, resp.StatusCode, text, want)
		}
	}
	chunk("x", "a", "0", []byte("12345"), http.StatusConflict)
	chunk(a.Offer, "b", "0", []byte("12345"), http.StatusBadRequest)
	chunk(a.Offer, "a", "-1", []byte("12345"), http.StatusConflict)
	chunk(a.Offer, "a", "5", []byte("12345"), http.StatusConflict)
	chunk(a.Offer, "a", "x", []byte("12345"), http.StatusBadRequest)
	chunk(a.Offer, "a", "0", nil, http.StatusConflict)
	chunk(a.Offer, "a", "0", make([]byte, chunkBytes+1), http.StatusRequestEntityTooLarge)
	chunk(a.Offer, "a", "0", []byte("12345"), http.StatusNoContent)
	chunk(a.Offer, "a", "0", []byte("12345"), http.StatusNoContent)
	chunk(a.Offer, "a", "5", []byte("123456"), http.StatusConflict)
	if in := s.receiver.current; in.received != 5 || in.files["a"].have != 5 {
		t.Errorf("%d bytes received, %d there", in.received, in.files["a"].have)
	}
	resp, err = to.Do(ctx, http.MethodPost, pathComplete, http.Header{headerOffer: {a.Offer}}, http.NoBody)
	must(t, err)
	if resp.StatusCode != http.StatusConflict {
		t.Errorf("complete without its files: %d", resp.StatusCode)
	}
	// Another sender has to wait, until the first has been silent for long.
	third := goodMessage()
	third.From = proto.Uint64(3)
	ask := func(want int) {
		t.Helper()
		req := httptest.NewRequest(http.MethodPost, pathOffer, bytes.NewReader(encodeOffer(t, third, file("a", 10))))
		req.Header = http.Header{headerFrom: {"3"}}
		req.Header.Set(headerCluster, "9")
		w := httptest.NewRecorder()
		s.receiver.ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("a second sender: %d %s, want %d", w.Code, w.Body, want)
		}
	}
	ask(http.StatusServiceUnavailable)
	later := s.receiver.now().Add(2 * quietTimeout)
	s.receiver.now = func() time.Time { return later }
	ask(http.StatusOK)
	if left := s.left(); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
	must(t, s.dirs.Clean())
	if left := s.left(); len(left) > 0 {
		t.Errorf("left after a start: %q", left)
	}
	s.close()
}

// TestSlowSendersAreCut: a body that does not come ends by its deadline, and meanwhile
// the receiver serves others.
func TestSlowSendersAreCut(t *testing.T) {
	s := newSide(t, followerID, vfs.NewCrashableMem())
	s.receiver.bodyTimeout = 300 * time.Millisecond
	server := httptest.NewServer(s.receiver)
	client := server.Client()
	post := func(ctx context.Context, body io.Reader) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+pathChunk, body)
		must(t, err)
		req.Header.Set(headerCluster, "9")
		req.Header.Set(headerFrom, "1")
		req.Header.Set(headerOffset, "0")
		return client.Do(req)
	}
	var stop []func()
	var ended []chan struct{}
	for range maxBodies {
		ctx, cancel := context.WithCancel(context.Background())
		r, w := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := post(ctx, r); err == nil {
				resp.Body.Close()
			}
		}()
		_, err := w.Write([]byte("slow"))
		must(t, err)
		stop, ended = append(stop, func() { cancel(); w.Close() }), append(ended, done)
	}
	until(t, "slow bodies", func() bool { return len(s.receiver.bodies) == maxBodies })
	resp, err := post(context.Background(), strings.NewReader("x"))
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one more body: %d", resp.StatusCode)
	}
	for i := range ended {
		<-ended[i] // by the receiver, not by the sender
	}
	until(t, "places", func() bool { return len(s.receiver.bodies) == 0 })
	for i := range stop {
		stop[i]()
	}
	client.CloseIdleConnections()
	server.Close()
	s.close()
}

// TestHalfABodyIsCut: a sender that says how much it will send, and does not, has its answer
// and loses its connection at the deadline.
func TestHalfABodyIsCut(t *testing.T) {
	s := newSide(t, followerID, vfs.NewCrashableMem())
	s.receiver.bodyTimeout = 50 * time.Millisecond
	server := httptest.NewServer(s.receiver)
	for _, path := range []string{pathOffer, pathChunk} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		r, w := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, r)
		must(t, err)
		req.ContentLength = 1000
		req.Header.Set(headerCluster, "9")
		req.Header.Set(headerFrom, "1")
		req.Header.Set(headerOffset, "0")
		go io.WriteString(w, "half")
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest || !resp.Close {
			t.Errorf("%s: %d, and the connection closed: %t", path, resp.StatusCode, resp.Close)
		}
		w.Close()
		cancel()
	}
	server.Client().CloseIdleConnections()
	server.Close()
	s.close()
}
