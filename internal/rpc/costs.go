package rpc

import (
	"context"
	"net"

	access "bowline/internal/auth"
	"bowline/internal/wire"

	"google.golang.org/protobuf/proto"
)

// spender is who a call is charged to, "" if it costs nothing: the user, or where it
// comes from if that is nobody. The user root is not limited: somebody must be able to
// help.
func (m *member) spender(ctx context.Context) string {
	if m.Costs == nil {
		return ""
	}
	if id, err := m.Server.Identify(ctx); err == nil && id.User != "" {
		if id.User == access.RootUser {
			return ""
		}
		return id.User
	}
	remote := remoteOf(ctx)
	if host, _, err := net.SplitHostPort(remote); err == nil {
		remote = host
	}
	return "nobody at " + remote
}

// spend refuses a call of somebody who has spent what there was.
func (m *member) spend(ctx context.Context, req any) (who string, err error) {
	if who = m.spender(ctx); who == "" {
		return "", nil
	}
	return who, toStatus(m.Costs.Begin(who, sizeOf(req)))
}

// charge adds what an answer costs.
func (m *member) charge(who string, resp any) {
	if who != "" {
		m.Costs.Charge(who, 0, sizeOf(resp))
	}
}

func sizeOf(message any) int {
	switch x := message.(type) {
	case *wire.Answer:
		if x == nil {
			return 0
		}
		return x.Len()
	case proto.Message:
		return proto.Size(x)
	}
	return 0
}
