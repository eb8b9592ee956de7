package ctl

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// memberRemove is the command member remove.
type memberRemove struct{}

func (memberRemove) run(ctx context.Context, env *Env, args []string) error {
	return changeMember(ctx, env, args, "removed from", func(ctx context.Context, c *clientv3.Client, id uint64) (membersAnswer, error) {
		resp, err := c.MemberRemove(ctx, id)
		return (*pb.MemberRemoveResponse)(resp), err
	})
}

// memberPromote is the command member promote.
type memberPromote struct{}

func (memberPromote) run(ctx context.Context, env *Env, args []string) error {
	return changeMember(ctx, env, args, "promoted in", func(ctx context.Context, c *clientv3.Client, id uint64) (membersAnswer, error) {
		resp, err := c.MemberPromote(ctx, id)
		return (*pb.MemberPromoteResponse)(resp), err
	})
}

// memberUpdate is the command member update.
type memberUpdate struct {
	peerURLs string
}

func newMemberUpdate(env *Env) *cobra.Command {
	o := &memberUpdate{}
	cmd := &cobra.Command{Use: "update <memberID> [options]", Short: "Changes the peer URLs of a member", RunE: env.action(o)}
	cmd.Flags().StringVar(&o.peerURLs, "peer-urls", "", "new peer URLs of the member, separated by commas")
	return cmd
}

func (o *memberUpdate) run(ctx context.Context, env *Env, args []string) error {
	if _, err := parseMember(args); err != nil {
		return err
	}
	if o.peerURLs == "" {
		return cli.BadArgs("member peer urls not provided")
	}
	urls := strings.Split(o.peerURLs, ",")
	return changeMember(ctx, env, args, "updated in", func(ctx context.Context, c *clientv3.Client, id uint64) (membersAnswer, error) {
		resp, err := c.MemberUpdate(ctx, id, urls)
		return (*pb.MemberUpdateResponse)(resp), err
	})
}

// membersAnswer is what the server answers to every change of one member.
type membersAnswer interface {
	message
	GetMembers() []*pb.Member
}

// changeMember runs a change of the member whose ID is the one argument.
func changeMember(ctx context.Context, env *Env, args []string, done string, change func(context.Context, *clientv3.Client, uint64) (membersAnswer, error)) error {
	id, err := parseMember(args)
	if err != nil {
		return err
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := change(ctx, s.Client, id)
	if err != nil {
		return err
	}
	return s.Print(cli.Result{
		JSON:  newMembersJSON(s.Hex, resp.GetHeader(), nil, resp.GetMembers()),
		Proto: resp,
		Simple: func(w *cli.TextWriter) {
			w.Linef("Member %16x %s cluster %16x", id, done, resp.GetHeader().GetClusterId())
		},
	})
}
