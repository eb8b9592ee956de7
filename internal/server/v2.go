package server

import (
	"context"
	"errors"
	"time"

	"bowline/internal/fsm"
	"bowline/internal/v2"
	"bowline/internal/wire"

	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

const (
	// maxV2Request bounds an encoded request of API v2: its forms may be of 10 MiB,
	// however large requests of API v3 may be.
	maxV2Request = 12 << 20
	// v2Sweep is how often the leader looks for what has expired in the tree.
	v2Sweep = 500 * time.Millisecond
)

// V2 has a change of the tree of API v2 agreed on and applied. A refusal is a *v2.Error
// and comes from the tree; another error tells that nothing is known of the outcome.
func (s *Server) V2(ctx context.Context, req wire.V2Request) (*v2.Event, error) {
	if s.overloaded(ctx) {
		return nil, ErrTooManyRequests
	}
	r, err := s.proposeV2(ctx, req)
	switch {
	case err != nil:
		return nil, err
	case r.V2 == nil:
		return nil, errors.New("etcdserver: the request was applied as something else")
	case r.V2.Refusal != nil:
		return nil, r.V2.Refusal
	case len(r.V2.Events) == 0:
		return nil, nil
	}
	return r.V2.Events[0], nil
}

func (s *Server) proposeV2(ctx context.Context, req wire.V2Request) (fsm.Result, error) {
	if err := s.allOurs(); err != nil {
		return fsm.Result{}, err
	}
	req.ID = s.ids.next()
	data := req.Entry()
	if len(data) > maxV2Request {
		return fsm.Result{}, ErrRequestTooLarge
	}
	deadline := time.Now().Add(s.cfg.RequestTimeout())
	return s.proposeUntilTaken(ctx, req.ID, deadline, func(refused func(error)) { s.node.ProposeAsync(data, refused) })
}

// ErrForeignMember refuses what a member that is etcd would pass over.
var ErrForeignMember = errors.New("etcdserver: API v2 is read-only while a member of the cluster is etcd")

// allOurs refuses changes of what another kind of member could neither keep nor, as the
// leader, hand on. Every member says of itself, through the log, what it is.
func (s *Server) allOurs() error {
	for _, m := range s.fsm.Members().Members() {
		if m.Started() && !m.Ours {
			return ErrForeignMember
		}
	}
	return nil
}

// V2Current waits until the tree here has all that was agreed on before the call.
func (s *Server) V2Current(ctx context.Context) error {
	since := time.Now()
	err := s.readIndex(ctx)
	if errors.Is(err, ErrTimeout) {
		return s.timeoutError(since)
	}
	return err
}

// expireV2 has the leader expire nodes of the tree, until ctx ends.
func (s *Server) expireV2(ctx context.Context) {
	for range ticks(ctx, v2Sweep) {
		for s.node.Status().State == raft.StateLeader && ctx.Err() == nil {
			now := time.Now().UnixNano()
			due, err := s.fsm.V2().HasExpired(now)
			if err == nil && due {
				_, err = s.proposeV2(ctx, wire.V2Request{Method: wire.V2Expire, Time: now})
			}
			if err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("keys of API v2 could not be expired; it will be tried again", zap.Error(err))
			}
			if err != nil || !due {
				break
			}
		}
	}
}
