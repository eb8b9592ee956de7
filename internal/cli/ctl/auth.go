package ctl

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"bowline/internal/cli"
)

func newAuth(env *Env) *cobra.Command {
	return newGroup("auth", "Enables and disables authentication",
		&cobra.Command{Use: "disable", Short: "Disables authentication", RunE: env.action(authDisable{})},
		&cobra.Command{Use: "enable", Short: "Enables authentication", RunE: env.action(authEnable{})},
		&cobra.Command{Use: "status", Short: "Shows whether authentication is enabled", RunE: env.action(authStatus{})},
	)
}

// withoutArgs runs a short command that takes no arguments.
func withoutArgs(ctx context.Context, env *Env, name string, args []string, do func(context.Context, *session) error) error {
	if len(args) != 0 {
		return cli.BadArgs("%s command does not accept any arguments", name)
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return do(ctx, s)
}

// authEnable is the command auth enable.
type authEnable struct{}

func (authEnable) run(ctx context.Context, env *Env, args []string) error {
	return withoutArgs(ctx, env, "auth enable", args, func(ctx context.Context, s *session) error {
		_, err := s.AuthEnable(ctx)
		if errors.Is(err, rpctypes.ErrRootRoleNotExist) {
			// The root user exists but may do nothing: give it its role.
			if _, err := s.RoleAdd(ctx, "root"); err != nil && !errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
				return err
			}
			if _, err := s.UserGrantRole(ctx, "root", "root"); err != nil {
				return err
			}
			_, err = s.AuthEnable(ctx)
		}
		if err != nil {
			return err
		}
		return s.PrintText(cli.Text("Authentication Enabled"))
	})
}

// authDisable is the command auth disable.
type authDisable struct{}

func (authDisable) run(ctx context.Context, env *Env, args []string) error {
	return withoutArgs(ctx, env, "auth disable", args, func(ctx context.Context, s *session) error {
		if _, err := s.AuthDisable(ctx); err != nil {
			return err
		}
		return s.PrintText(cli.Text("Authentication Disabled"))
	})
}

// authStatus is the command auth status.
type authStatus struct{}

func (authStatus) run(ctx context.Context, env *Env, args []string) error {
	return withoutArgs(ctx, env, "auth status", args, func(ctx context.Context, s *session) error {
		resp, err := s.AuthStatus(ctx)
		if err != nil {
			return err
		}
		return s.Print(answerWithoutFields((*pb.AuthStatusResponse)(resp),
			"Authentication Status: %t\nAuthRevision: %d", resp.Enabled, resp.AuthRevision))
	})
}
