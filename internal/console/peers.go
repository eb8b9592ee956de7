package console

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// peers are connections to other members, each made when it is first wanted.
type peers struct {
	mu     sync.Mutex // guards all
	conns  map[uint64]peer
	closed bool
}

type peer struct {
	urls []string
	conn *grpc.ClientConn
}

// retry is how long a connection waits before it is tried again, at most: a member that
// is back is to be seen soon.
const retry = time.Second

var (
	errNoURL  = errors.New("it has no client URL")
	errClosed = errors.New("the member stops")
)

// conn returns a connection to a member. It tries the member's URLs in turn.
func (p *peers) conn(m *pb.Member, dial func(context.Context, url.URL) (net.Conn, error)) (*grpc.ClientConn, error) {
	var to []url.URL
	for _, text := range m.ClientURLs {
		if u, err := url.Parse(text); err == nil {
			to = append(to, *u)
		}
	}
	if len(to) == 0 {
		return nil, errNoURL
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if have, ok := p.conns[m.ID]; ok {
		if slices.Equal(have.urls, m.ClientURLs) {
			return have.conn, nil
		}
		have.conn.Close()
		delete(p.conns, m.ID)
	}
	conn, err := grpc.NewClient("passthrough:///"+to[0].Host,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // dial has made TLS already
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var errs []error
			for _, u := range to {
				c, err := dial(ctx, u)
				if err == nil {
					return c, nil
				}
				errs = append(errs, err)
			}
			return nil, errors.Join(errs...)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: retry / 4, Multiplier: 2, MaxDelay: retry}, MinConnectTimeout: retry}))
	if err == nil {
		p.conns[m.ID] = peer{m.ClientURLs, conn}
	}
	return conn, err
}

// keep ends the connections to those who are no members any more.
func (p *peers) keep(members []*pb.Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, have := range p.conns {
		if !slices.ContainsFunc(members, func(m *pb.Member) bool { return m.ID == id }) {
			have.conn.Close()
			delete(p.conns, id)
		}
	}
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for id, have := range p.conns {
		have.conn.Close()
		delete(p.conns, id)
	}
}
