package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"bowline/internal/auth"
	"bowline/internal/wire"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// ChangeAccess carries out a request that changes users, roles or permissions, or that
// enables or disables access control. Only administrators may.
func (s *Server) ChangeAccess(ctx context.Context, req *pb.InternalRaftRequest) (*wire.Answer, error) {
	r, err := s.askAs(ctx, s.asAdministrator, message(req))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// UserAdd stores a user; the password is hashed here, never in apply.
func (s *Server) UserAdd(ctx context.Context, req *pb.AuthUserAddRequest) (*wire.Answer, error) {
	if err := s.Administrator(ctx); err != nil {
		return nil, err
	}
	add := &pb.AuthUserAddRequest{Name: req.Name, Options: req.Options}
	if !req.GetOptions().GetNoPassword() {
		var err error
		if add.HashedPassword, err = s.hash(ctx, req.Password); err != nil {
			return nil, err
		}
	}
	return s.ChangeAccess(ctx, &pb.InternalRaftRequest{AuthUserAdd: add})
}

// UserChangePassword stores another password. An empty one leaves nothing to log in
// with.
func (s *Server) UserChangePassword(ctx context.Context, req *pb.AuthUserChangePasswordRequest) (*wire.Answer, error) {
	if err := s.Administrator(ctx); err != nil {
		return nil, err
	}
	change := &pb.AuthUserChangePasswordRequest{Name: req.Name, HashedPassword: req.HashedPassword}
	if req.Password != "" {
		var err error
		if change.HashedPassword, err = s.hash(ctx, req.Password); err != nil {
			return nil, err
		}
	}
	return s.ChangeAccess(ctx, &pb.InternalRaftRequest{AuthUserChangePassword: change})
}

func (s *Server) hash(ctx context.Context, password string) (string, error) {
	hash, err := s.passwords.Hash(ctx, password)
	return base64.StdEncoding.EncodeToString(hash), err
}

// Authenticate gives out a token for a name and a password.
func (s *Server) Authenticate(ctx context.Context, req *pb.AuthenticateRequest) (*wire.Answer, error) {
	if err := s.readIndex(ctx); err != nil {
		return nil, err
	}
	for {
		rules := s.fsm.Rules()
		if !rules.Enabled {
			return nil, auth.ErrNotEnabled
		}
		if err := s.passwords.Verify(ctx, rules.User(req.Name), req.Password); err != nil {
			s.cfg.Logger.Warn("invalid authentication was requested", zap.String("user", req.Name), zap.Error(err))
			return nil, err
		}
		a, err := s.newToken(ctx, req.Name, rules.Revision)
		if err != nil {
			return nil, err
		}
		// The password may have been changed while it was compared.
		if rules.Revision == s.fsm.Rules().Revision {
			return a, nil
		}
		a.Release()
	}
}

// newToken makes a token of the kind that this member gives out. Simple ones go through
// the log, so that every member knows them.
func (s *Server) newToken(ctx context.Context, user string, revision uint64) (*wire.Answer, error) {
	req := &pb.InternalAuthenticateRequest{Name: user}
	switch {
	case s.cfg.Tokens.JWT != nil:
		token, err := s.cfg.Tokens.JWT.Sign(user, revision, time.Now())
		if err != nil {
			return nil, err
		}
		return s.encoded(&pb.AuthenticateResponse{Header: s.header(s.store.Revision()), Token: token})
	case s.cfg.Tokens.Simple != nil:
		var err error
		if req.SimpleToken, err = auth.NewPrefix(); err != nil {
			return nil, fmt.Errorf("server: make a token: %w", err)
		}
	}
	r, err := s.propose(ctx, message(&pb.InternalRaftRequest{Authenticate: req}))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

func (s *Server) encoded(m proto.Message) (*wire.Answer, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("server: encode an answer: %w", err)
	}
	a := new(wire.Answer)
	a.Write(b)
	return a, nil
}

// rulesNow are the rules after everything that was committed before the call, with the
// caller that asks for them.
func (s *Server) rulesNow(ctx context.Context) (*auth.Rules, auth.Identity, error) {
	if err := s.readIndex(ctx); err != nil {
		return nil, auth.Identity{}, err
	}
	rules := s.fsm.Rules()
	id, err := s.identify(ctx, rules)
	return rules, id, err
}

// AuthStatus tells whether access is controlled, and how often users have changed.
func (s *Server) AuthStatus(ctx context.Context) (*pb.AuthStatusResponse, error) {
	rules, _, err := s.rulesNow(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.AuthStatusResponse{Header: s.header(s.store.Revision()), Enabled: rules.Enabled, AuthRevision: rules.Revision}, nil
}

// UserGet tells the roles of a user, to administrators and to the user.
func (s *Server) UserGet(ctx context.Context, name string) (*pb.AuthUserGetResponse, error) {
	rules, id, err := s.rulesNow(ctx)
	if err != nil {
		return nil, err
	}
	if err := rules.Admin(id); err != nil && name != id.User {
		return nil, err
	}
	u := rules.User(name)
	if u == nil {
		return nil, auth.ErrUserNotFound
	}
	return &pb.AuthUserGetResponse{Header: s.header(s.store.Revision()), Roles: u.Roles}, nil
}

// UserList tells the names of all users, to administrators.
func (s *Server) UserList(ctx context.Context) (*pb.AuthUserListResponse, error) {
	rules, err := s.rulesForAdmin(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserListResponse{Header: s.header(s.store.Revision()), Users: rules.UserNames()}, nil
}

// RoleList tells the names of all roles, to administrators.
func (s *Server) RoleList(ctx context.Context) (*pb.AuthRoleListResponse, error) {
	rules, err := s.rulesForAdmin(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleListResponse{Header: s.header(s.store.Revision()), Roles: rules.RoleNames()}, nil
}

func (s *Server) rulesForAdmin(ctx context.Context) (*auth.Rules, error) {
	rules, id, err := s.rulesNow(ctx)
	if err != nil {
		return nil, err
	}
	return rules, rules.Admin(id)
}

// RoleGet tells the permissions of a role, to administrators and to those who hold it.
// Of the role that makes administrators it tells that everything is permitted.
func (s *Server) RoleGet(ctx context.Context, name string) (*pb.AuthRoleGetResponse, error) {
	rules, id, err := s.rulesNow(ctx)
	if err != nil {
		return nil, err
	}
	if err := rules.Admin(id); err != nil && !rules.HasRole(id.User, name) {
		return nil, err
	}
	role := rules.Role(name)
	if role == nil {
		return nil, auth.ErrRoleNotFound
	}
	resp := &pb.AuthRoleGetResponse{Header: s.header(s.store.Revision()), Perm: role.KeyPermission}
	if name == auth.RootRole {
		resp.Perm = []*authpb.Permission{{PermType: authpb.Permission_READWRITE, RangeEnd: []byte{0}}}
	}
	return resp, nil
}
