package rpc

import (
	"context"

	access "bowline/internal/auth"
	"bowline/internal/watch"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// GuardWatches ends the watches of a stream whose caller loses the right to them, until
// ctx ends, if that was asked for. The function that it returns is to be called when a
// watch was created: the rules may have changed since it was judged.
func (m *member) GuardWatches(ctx context.Context, w *watch.Stream) (created func()) {
	if !m.RevokeWatches {
		return func() {}
	}
	look := make(chan struct{}, 1)
	judged, _ := m.Server.RulesAndChange()
	go m.endRevoked(ctx, w, look)
	return func() {
		rules, _ := m.Server.RulesAndChange()
		if rules == judged {
			return
		}
		judged = rules
		select {
		case look <- struct{}{}:
		default:
		}
	}
}

// endRevoked looks at a stream's watches whenever the rules change, and when look says
// so. The user is found out once: a token that expires takes no right away.
func (m *member) endRevoked(ctx context.Context, w *watch.Stream, look <-chan struct{}) {
	var user string
	for {
		rules, changed := m.Server.RulesAndChange()
		if rules.Enabled && user == "" {
			if id, err := m.Server.Identify(ctx); err == nil {
				user = id.User
			}
		}
		id := access.Identity{User: user, Revision: rules.Revision}
		if user == "" {
			id = access.Identity{}
		}
		w.EndIf(func(key, end string) string {
			err := rules.Check(id, &pb.WatchCreateRequest{Key: []byte(key), RangeEnd: []byte(end)}, nil)
			if err == nil {
				return ""
			}
			return toStatus(err).Error()
		})
		select {
		case <-changed:
		case <-look:
		case <-ctx.Done():
			return
		}
	}
}
