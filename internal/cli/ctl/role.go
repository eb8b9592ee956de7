package ctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func newRole(env *Env) *cobra.Command {
	return newGroup("role", "Role related commands",
		&cobra.Command{Use: "add <role name>", Short: "Adds a role", RunE: env.action(roleAdd{})},
		&cobra.Command{Use: "delete <role name>", Short: "Deletes a role", RunE: env.action(roleDelete{})},
		&cobra.Command{Use: "get <role name>", Short: "Shows the permissions of a role", RunE: env.action(roleGet{})},
		newRoleGrant(env),
		&cobra.Command{Use: "list", Short: "Lists all roles", RunE: env.action(roleList{})},
		newRoleRevoke(env),
	)
}

// roleAdd is the command role add.
type roleAdd struct{}

func (roleAdd) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("role add command requires role name as its argument")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.RoleAdd(ctx, args[0])
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthRoleAddResponse)(resp), "Role %s created", args[0]))
	})
}

// roleDelete is the command role delete.
type roleDelete struct{}

func (roleDelete) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("role delete command requires role name as its argument")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.RoleDelete(ctx, args[0])
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthRoleDeleteResponse)(resp), "Role %s deleted", args[0]))
	})
}

// roleList is the command role list.
type roleList struct{}

func (roleList) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 0 {
		return cli.BadArgs("role list command requires no arguments")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.RoleList(ctx)
		if err != nil {
			return err
		}
		return s.Print(cli.Result{
			Simple: textLines(resp.Roles),
			Fields: func(w *cli.FieldWriter) {
				writeHeader(w, resp.Header)
				w.QuotedList("Roles", resp.Roles)
			},
			JSON:  (*pb.AuthRoleListResponse)(resp),
			Proto: (*pb.AuthRoleListResponse)(resp),
		})
	})
}

// roleGet is the command role get.
type roleGet struct{}

func (roleGet) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("role get command requires role name as its argument")
	}
	return withSession(ctx, env, func(s *session) error {
		resp, err := s.RoleGet(ctx, args[0])
		if err != nil {
			return err
		}
		return s.Print(roleResult((*pb.AuthRoleGetResponse)(resp), args[0]))
	})
}

// roleResult shows the permissions of a role; as text, what it may read and what
// it may write.
func roleResult(resp *pb.AuthRoleGetResponse, role string) cli.Result {
	section := func(w *cli.TextWriter, title string, kind authpb.Permission_Type) {
		w.Linef("%s", title)
		// The server grants root everything without a word about it.
		if role == "root" && len(resp.GetPerm()) == 0 {
			w.Linef("\t%s", permissionText("", "\x00"))
		}
		for _, p := range resp.GetPerm() {
			if p.PermType == kind || p.PermType == authpb.Permission_READWRITE {
				w.Linef("\t%s", permissionText(string(p.Key), string(p.RangeEnd)))
			}
		}
	}
	return cli.Result{
		JSON:  resp,
		Proto: resp,
		Simple: func(w *cli.TextWriter) {
			w.Linef("Role %s", role)
			section(w, "KV Read:", authpb.Permission_READ)
			section(w, "KV Write:", authpb.Permission_WRITE)
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.GetHeader())
			for _, p := range resp.GetPerm() {
				w.Value("PermType", " "+p.PermType.String()) // two blanks, as ever
				w.Quoted("Key", string(p.Key))
				w.Quoted("RangeEnd", string(p.RangeEnd))
			}
		},
	}
}

// permissionText shows the key or range of a permission.
func permissionText(key, end string) string {
	text := rangeText(key, end)
	if end != "" && end != "\x00" && end == clientv3.GetPrefixRangeEnd(key) {
		text += fmt.Sprintf(" (prefix %s)", key)
	}
	return text
}

// rangeText shows a key, or a range as a half-open interval.
func rangeText(key, end string) string {
	switch end {
	case "":
		return key
	case "\x00":
		return fmt.Sprintf("[%s, <open ended>", key)
	}
	return fmt.Sprintf("[%s, %s)", key, end)
}

// permissionRange are the flags and arguments that name a permission's keys.
type permissionRange struct {
	prefix  bool
	fromKey bool
}

func (r *permissionRange) addFlags(cmd *cobra.Command, verb string) {
	cmd.Flags().BoolVar(&r.prefix, "prefix", false, verb+" all keys with this prefix")
	cmd.Flags().BoolVar(&r.fromKey, "from-key", false, verb+" all keys from this one on, in byte order")
}

// resolve returns the range meant by KEY [ENDKEY].
func (r *permissionRange) resolve(args []string) (key, end string, err error) {
	key = args[0]
	if r.prefix && r.fromKey {
		return "", "", cli.BadArgs("--from-key and --prefix flags are mutually exclusive")
	}
	switch {
	case r.prefix && len(args) > 1:
		return "", "", cli.BadArgs("unexpected endkey argument with --prefix flag")
	case r.fromKey && len(args) > 1:
		return "", "", cli.BadArgs("unexpected endkey argument with --from-key flag")
	case len(args) > 1:
		return key, args[1], nil
	case r.prefix && key != "":
		return key, clientv3.GetPrefixRangeEnd(key), nil
	case r.prefix, r.fromKey:
		return key, "\x00", nil
	}
	return key, "", nil
}

// stored returns the form in which the server keeps a permission. It has no
// empty keys: what begins with the empty key begins with "\x00".
func stored(key, end string) (string, string) {
	if key == "" {
		key = "\x00"
	}
	return key, end
}

// roleGrant is the command role grant-permission.
type roleGrant struct {
	permissionRange
}

func newRoleGrant(env *Env) *cobra.Command {
	o := &roleGrant{}
	cmd := &cobra.Command{
		Use:   "grant-permission [options] <role name> <permission type> <key> [endkey]",
		Short: "Lets a role read or write keys",
		RunE:  env.action(o),
	}
	o.addFlags(cmd, "grant")
	return cmd
}

func (o *roleGrant) run(ctx context.Context, env *Env, args []string) error {
	if len(args) < 3 {
		return cli.BadArgs("role grant command requires role name, permission type, and key [endkey] as its argument")
	}
	role := args[0]
	kind, known := authpb.Permission_Type_value[strings.ToUpper(args[1])]
	if !known {
		return cli.BadArgs("invalid permission type: %s", args[1])
	}
	key, end, err := o.resolve(args[2:])
	if err != nil {
		return err
	}
	return withSession(ctx, env, func(s *session) error {
		key, end := stored(key, end)
		resp, err := s.RoleGrantPermission(ctx, role, key, end, clientv3.PermissionType(kind))
		if err != nil {
			return err
		}
		return s.Print(answer((*pb.AuthRoleGrantPermissionResponse)(resp), "Role %s updated", role))
	})
}

// roleRevoke is the command role revoke-permission.
type roleRevoke struct {
	permissionRange
}

func newRoleRevoke(env *Env) *cobra.Command {
	o := &roleRevoke{}
	cmd := &cobra.Command{
		Use:   "revoke-permission <role name> <key> [endkey]",
		Short: "Takes a permission from a role",
		RunE:  env.action(o),
	}
	o.addFlags(cmd, "revoke")
	return cmd
}

func (o *roleRevoke) run(ctx context.Context, env *Env, args []string) error {
	if len(args) < 2 {
		return cli.BadArgs("role revoke-permission command requires role name and key [endkey] as its argument")
	}
	role := args[0]
	key, end, err := o.resolve(args[1:])
	if err != nil {
		return err
	}
	return withSession(ctx, env, func(s *session) error {
		storedKey, storedEnd := stored(key, end)
		resp, err := s.RoleRevokePermission(ctx, role, storedKey, storedEnd)
		if err != nil {
			return err
		}
		what := "range"
		if end == "" {
			what = "key"
		}
		return s.Print(answer((*pb.AuthRoleRevokePermissionResponse)(resp),
			"Permission of %s %s is revoked from role %s", what, rangeText(key, end), role))
	})
}
