package proxy

import (
	"context"
	"errors"
	"io"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// keepers keeps leases alive, with one stream to the cluster for each caller.
type keepers struct {
	ctx    context.Context
	client pb.LeaseClient

	mu sync.Mutex // guards all; taken before a keeper's
	by map[caller]*keeper
}

func newKeepers(ctx context.Context, client pb.LeaseClient) *keepers {
	return &keepers{ctx: ctx, client: client, by: make(map[caller]*keeper)}
}

// keeper keeps the leases of one caller alive.
type keeper struct {
	client pb.LeaseClient
	who    caller
	ctx    context.Context
	cancel context.CancelFunc
	users  int // streams of clients; guarded by the lock of keepers

	sending sync.Mutex // held while a request is sent; taken before mu
	mu      sync.Mutex // guards what follows
	stream  pb.Lease_LeaseKeepAliveClient
	under   map[int64]*renewal // those that were asked for and not answered
}

// renewal is one request to the cluster, for all who want it before it is answered.
type renewal struct {
	done   chan struct{}
	answer *pb.LeaseKeepAliveResponse
	err    error
}

// serve answers a client's requests one after another.
func (k *keepers) serve(stream pb.Lease_LeaseKeepAliveServer) error {
	one := k.enter(callerOf(stream.Context()))
	defer k.leave(one)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := one.renew(stream.Context(), r.ID)
		if err != nil {
			return err
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func (k *keepers) enter(who caller) *keeper {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := k.by[who]
	if one == nil {
		one = &keeper{client: k.client, who: who, under: make(map[int64]*renewal)}
		one.ctx, one.cancel = context.WithCancel(k.ctx)
		k.by[who] = one
	}
	one.users++
	return one
}

func (k *keepers) leave(one *keeper) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if one.users--; one.users == 0 {
		one.cancel()
		delete(k.by, one.who)
	}
}

// renew keeps a lease alive. Who asks while the cluster has not yet answered for the same lease, has that answer.
func (k *keeper) renew(ctx context.Context, id int64) (*pb.LeaseKeepAliveResponse, error) {
	k.mu.Lock()
	r := k.under[id]
	if r == nil {
		r = &renewal{done: make(chan struct{})}
		k.under[id] = r
		k.mu.Unlock()
		k.ask(id, r)
	} else {
		k.mu.Unlock()
	}
	select {
	case <-r.done:
		return r.answer, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask sends a request, over a new stream if there is none.
func (k *keeper) ask(id int64, r *renewal) {
	k.sending.Lock()
	defer k.sending.Unlock()
	k.mu.Lock()
	stream, waits := k.stream, k.under[id] == r
	k.mu.Unlock()
	if !waits {
		return // the stream has failed meanwhile, and the renewal with it
	}
	if stream == nil {
		var err error
		if stream, err = k.client.LeaseKeepAlive(k.who.speak(k.ctx)); err != nil {
			k.fail(nil, err)
			return
		}
		k.mu.Lock()
		k.stream = stream
		k.mu.Unlock()
		go k.receive(stream)
	}
	// An error of sending is told in full by receiving.
	_ = stream.Send(&pb.LeaseKeepAliveRequest{ID: id})
}

// receive hands out answers until the stream ends.
func (k *keeper) receive(stream pb.Lease_LeaseKeepAliveClient) {
	for {
		answer, err := stream.Recv()
		if err != nil {
			k.fail(stream, err)
			return
		}
		k.mu.Lock()
		if r := k.under[answer.ID]; r != nil {
			delete(k.under, answer.ID)
			r.answer = answer
			close(r.done)
		}
		k.mu.Unlock()
	}
}

// fail tells all who wait that the stream has failed.
func (k *keeper) fail(stream pb.Lease_LeaseKeepAliveClient, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if stream == k.stream {
		k.stream = nil
	}
	for id, r := range k.under {
		delete(k.under, id)
		r.err = err
		close(r.done)
	}
}
