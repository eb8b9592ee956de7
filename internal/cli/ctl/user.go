package ctl

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func newUser(env *Env) *cobra.Command {
	return newGroup("user", "User related commands",
		newUserAdd(env),
		&cobra.Command{Use: "delete <user name>", Short: "Deletes a user", RunE: env.action(userDelete{})},
		newUserGet(env),
		&cobra.Command{Use: "grant-role <user name> <role name>", Short: "Grants a role to a user", RunE: env.action(userGrantRole{})},
		&cobra.Command{Use: "list", Short: "Lists all users", RunE: env.action(userList{})},
		newUserPasswd(env),
		&cobra.Command{Use: "revoke-role <user name> <role name>", Short: "Revokes a role from a user", RunE: env.action(userRevokeRole{})},
	)
}

// withSession runs a command that waits for as long as it takes.
func withSession(ctx context.Context, env *Env, do func(*session) error) error {
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}

const passwordPromptHelp = "ask for the password; false takes it from standard input without asking"

// userAdd is the command user add.
type userAdd struct {
	interactive bool
	password    string
	noPassword  bool
}

func newUserAdd(env *Env) *cobra.Command {
	o := &userAdd{}
	cmd := &cobra.Command{Use: "add <user name or user:password> [options]", Short: "Adds a user", RunE: env.action(o)}
	cmd.Flags().BoolVar(&o.interactive, "interactive", true, passwordPromptHelp)
	cmd.Flags().StringVar(&o.password, "new-user-password", "", "password of the user")
	cmd.Flags().BoolVar(&o.noPassword, "no-password", false, "add a user who can only log in with a certificate")
	return cmd
}

func (o *userAdd) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("user add command requires user name as its argument")
	}
	return withSession(ctx, env, func(s *session) error {
		name, password, err := o.credentials(env, args[0])
		if err != nil {
			return err
		}
		resp, err := s.UserAddWithOptions(ctx, name, password, &clientv3.UserAddOptions{NoPassword: o.noPassword})
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthUserAddResponse)(resp), "User %s created", name))
	})
}

// credentials finds the new user's name and password. With --no-password or
// --new-user-password a colon is part of the name.
func (o *userAdd) credentials(env *Env, arg string) (name, password string, err error) {
	if o.noPassword {
		return arg, "", nil
	}
	if o.password != "" {
		return arg, o.password, nil
	}
	name, password, found := strings.Cut(arg, ":")
	if name == "" {
		return "", "", cli.BadArgs("empty user name is not allowed")
	}
	if found {
		return name, password, nil
	}
	password, err = env.newPassword(name, o.interactive)
	return name, password, err
}

// newPassword asks for a password, or takes the first word of standard input.
func (env *Env) newPassword(user string, interactive bool) (string, error) {
	if interactive {
		return env.readNewPassword(user)
	}
	words := bufio.NewScanner(env.stdin())
	words.Split(bufio.ScanWords)
	words.Scan()
	return words.Text(), nil
}

// userDelete is the command user delete.
type userDelete struct{}

func (userDelete) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("user delete command requires user name as its argument")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.UserDelete(ctx, args[0])
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthUserDeleteResponse)(resp), "User %s deleted", args[0]))
	})
}

// userGet is the command user get.
type userGet struct {
	detail bool
}

func newUserGet(env *Env) *cobra.Command {
	o := &userGet{}
	cmd := &cobra.Command{Use: "get <user name> [options]", Short: "Shows the roles of a user", RunE: env.action(o)}
	cmd.Flags().BoolVar(&o.detail, "detail", false, "show the permissions of the roles as well")
	return cmd
}

func (o *userGet) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("user get command requires user name as its argument")
	}
	name := args[0]
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.UserGet(ctx, name)
		if err != nil {
			return err
		}
		if !o.detail {
			roles := strings.Join(append([]string{"Roles:"}, resp.Roles...), " ")
			return s.Print(answerWithoutFields((*pb.AuthUserGetResponse)(resp), "User: %s\n%s", name, roles))
		}
		fmt.Fprintln(env.Out, "User:", name)
		for _, role := range resp.Roles {
			fmt.Fprintln(env.Out)
			roleResp, err := s.RoleGet(ctx, role)
			if err != nil {
				return err
			}
			if err := s.Print(roleResult((*pb.AuthRoleGetResponse)(roleResp), role)); err != nil {
				return err
			}
		}
		return nil
	})
}

// userList is the command user list.
type userList struct{}

func (userList) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 0 {
		return cli.BadArgs("user list command requires no arguments")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.UserList(ctx)
		if err != nil {
			return err
		}
		return s.Print(cli.Result{
			Simple: textLines(resp.Users),
			JSON:   (*pb.AuthUserListResponse)(resp),
			Proto:  (*pb.AuthUserListResponse)(resp),
		})
	})
}

// textLines is the simple form of a list of names.
func textLines(lines []string) func(*cli.TextWriter) {
	return func(w *cli.TextWriter) {
		for _, line := range lines {
			w.Linef("%s", line)
		}
	}
}

// userPasswd is the command user passwd.
type userPasswd struct {
	interactive bool
}

func newUserPasswd(env *Env) *cobra.Command {
	o := &userPasswd{}
	cmd := &cobra.Command{Use: "passwd <user name> [options]", Short: "Changes the password of a user", RunE: env.action(o)}
	cmd.Flags().BoolVar(&o.interactive, "interactive", true, passwordPromptHelp)
	return cmd
}

func (o *userPasswd) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("user passwd command requires user name as its argument")
	}
	password, err := env.newPassword(args[0], o.interactive)
	if err != nil {
		return err
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.UserChangePassword(ctx, args[0], password)
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthUserChangePasswordResponse)(resp), "Password updated"))
	})
}

// userGrantRole is the command user grant-role.
type userGrantRole struct{}

func (userGrantRole) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 2 {
		return cli.BadArgs("user grant command requires user name and role name as its argument")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.UserGrantRole(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthUserGrantRoleResponse)(resp), "Role %s is granted to user %s", args[1], args[0]))
	})
}

// userRevokeRole is the command user revoke-role.
type userRevokeRole struct{}

func (userRevokeRole) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 2 {
		return cli.BadArgs("user revoke-role requires user name and role name as its argument")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.UserRevokeRole(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthUserRevokeRoleResponse)(resp), "Role %s is revoked from user %s", args[1], args[0]))
	})
}
