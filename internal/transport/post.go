package transport

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Messages without a stream go by POST: a few at once, and only so many wait.
const (
	postSenders      = 4
	maxWaitingPosts  = 64
	maxPostBytes     = 16 << 20
	postTimeout      = 10 * time.Second
	wayPost          = "pipeline"
	contentProtobuf  = "application/protobuf"
	headerOfContents = "Content-Type"
)

// postQueue holds messages that wait to be posted. Its senders exist only while there are any.
type postQueue struct {
	mu      sync.Mutex // guards the fields below
	waiting []*raftpb.Message
	bytes   int
	senders int
}

// post queues a message, and starts a sender if there are not enough.
func (p *peer) post(m *raftpb.Message) taken {
	q := &p.posts
	size := weight(m)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxWaitingPosts || len(q.waiting) > 0 && q.bytes+size > maxPostBytes {
		return full
	}
	q.waiting = append(q.waiting, m)
	q.bytes += size
	if q.senders < postSenders && p.t.spawn(p.postAll) {
		q.senders++
	}
	return queued
}

// next takes the message that has waited longest. Without one the calling sender ends.
func (q *postQueue) next() *raftpb.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.senders--
		return nil
	}
	m := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	q.bytes -= weight(m)
	return m
}

// postAll sends what waits, one after the other.
func (p *peer) postAll() {
	var buf []byte
	for m := p.posts.next(); m != nil; m = p.posts.next() {
		if p.ctx.Err() != nil {
			p.dropped(m, droppedBroken)
			continue
		}
		var err error
		if buf, err = p.postOne(buf[:0], m); err == nil {
			p.activity.succeeded()
			continue
		}
		if p.ctx.Err() == nil {
			p.activity.failed("write", wayPost, err)
		}
		p.dropped(m, droppedBroken)
		p.t.cfg.Raft.ReportUnreachable(p.id)
	}
}

func (p *peer) postOne(buf []byte, m *raftpb.Message) ([]byte, error) {
	buf, err := proto.MarshalOptions{}.MarshalAppend(buf, m)
	if err != nil {
		return buf, err
	}
	u := p.urls.pick()
	ctx, cancel := context.WithTimeout(p.ctx, postTimeout)
	defer cancel()
	// After an error the client may still read the body: the buffer is not used again then.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at(u, pathMessages), bytes.NewReader(buf))
	if err != nil {
		return buf, err
	}
	req.Header.Set(headerOfContents, contentProtobuf)
	p.t.stamp(req.Header)
	resp, err := p.t.posts.RoundTrip(req)
	if err != nil {
		p.urls.failed(u)
		return nil, err
	}
	if resp.StatusCode != http.StatusNoContent {
		err := refusal(resp)
		p.urls.failed(u)
		p.explain(err, resp, u)
		return nil, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	resp.Body.Close()
	p.figures.sentBytes.Add(uint64(len(buf)))
	if len(buf) > keptBytes {
		buf = nil
	}
	return buf, err
}

// explain logs a refusal that no second try will change.
func (p *peer) explain(err error, resp *http.Response, u *url.URL) {
	switch err {
	case errVersion:
		p.t.log.Warn("request sent was ignored by remote peer due to server version incompatibility",
			zap.String("local-member-id", p.t.id), zap.String("remote-peer-id", hex(p.id)), zap.Error(err))
	case errCluster:
		p.t.log.Warn("request sent was ignored by remote peer due to cluster ID mismatch",
			zap.String("remote-peer-id", hex(p.id)), zap.String("remote-peer-url", u.String()),
			zap.String("remote-peer-cluster-id", resp.Header.Get(headerCluster)),
			zap.String("local-member-id", p.t.id), zap.String("local-member-cluster-id", p.t.cluster), zap.Error(err))
	}
}
