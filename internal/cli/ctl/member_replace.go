package ctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// memberReplace is the command member replace: remove and add as one, with the
// checks that an operator would have to think of. docs/etcdctl.md tells why its
// steps have the order that they have.
type memberReplace struct {
	peerURLs    string
	autoPromote bool
	force       bool
}

func newMemberReplace(env *Env) *cobra.Command {
	o := &memberReplace{}
	cmd := &cobra.Command{
		Use:   "replace <memberID> <newMemberName> [options]",
		Short: "Removes a member that is down and adds another in its place",
		RunE:  env.action(o),
	}
	cmd.Flags().StringVar(&o.peerURLs, "peer-urls", "", "peer URLs of the new member, separated by commas")
	cmd.Flags().BoolVar(&o.autoPromote, "auto-promote", true, "let the cluster promote the new member, a learner, when it has caught up")
	cmd.Flags().BoolVar(&o.force, "force", false, "even if the old member is alive, others are down, or there is a learner")
	return cmd
}

func (o *memberReplace) run(ctx context.Context, env *Env, args []string) error {
	old, err := parseMember(args[:min(1, len(args))])
	switch {
	case err != nil:
		return err
	case len(args) < 2:
		return cli.BadArgs("member name not provided")
	case len(args) > 2:
		return tooManyArguments(args)
	case o.peerURLs == "":
		return cli.BadArgs("member peer urls not provided")
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	r := &replacement{session: s, new: newcomer{
		name: args[1], peerURLs: strings.Split(o.peerURLs, ","), learner: true, autoPromote: o.autoPromote,
	}}
	if err := r.plan(ctx, old, o.force); err != nil {
		return fmt.Errorf("%w\nNothing was changed", err)
	}
	client, err := r.dial(ctx, r.serving)
	if err != nil {
		return err
	}
	defer client.Close()
	return r.perform(ctx, client)
}

// dial makes a client of these endpoints.
func (r *replacement) dial(ctx context.Context, endpoints []string) (*clientv3.Client, error) {
	cfg := r.cfg
	cfg.Endpoints = endpoints
	return r.session.dial(ctx, cfg)
}

// perform changes the cluster in the order that was planned. Where it stops, it
// says what has been done and what is left to type.
func (r *replacement) perform(ctx context.Context, client *clientv3.Client) error {
	remove := "etcdctl member remove " + hexID(r.old.ID)
	if r.removeFirst {
		if _, err := r.remove(ctx, client); err != nil {
			return fmt.Errorf("removing member %s: %w\nNothing was changed, unless `etcdctl member list` does not show it any more; then go on with\n\t%s",
				called(r.old), err, r.new.command())
		}
		added, err := r.add(ctx, client)
		if err != nil {
			return fmt.Errorf("member %s has been removed, but adding %s: %w\nLook at `etcdctl member list`. If %s is not in it, go on with\n\t%s",
				called(r.old), r.new.name, err, strings.Join(r.new.peerURLs, ","), r.new.command())
		}
		return r.Print(memberAddResult(added.resp, r.new.name, r.Hex))
	}
	added, err := r.add(ctx, client)
	if err != nil {
		return fmt.Errorf("adding %s: %w\nNothing was changed, unless `etcdctl member list` shows %s; then go on with\n\t%s",
			r.new.name, err, strings.Join(r.new.peerURLs, ","), remove)
	}
	id := added.resp.GetMember().GetID()
	members, err := r.remove(ctx, client)
	if err != nil {
		return fmt.Errorf("%s has been added as learner %s, but removing member %s: %w\nLook at `etcdctl member list`. If %s is in it, go on with\n\t%s\nor undo what was done with\n\tetcdctl member remove %s",
			r.new.name, hexID(id), called(r.old), err, hexID(r.old.ID), remove, hexID(id))
	}
	added.resp.Members = members // a new member that expects the old one refuses to start
	return r.Print(memberAddResult(added.resp, r.new.name, r.Hex))
}

// remove takes the old member out, and returns those that are left.
func (r *replacement) remove(ctx context.Context, client *clientv3.Client) ([]*pb.Member, error) {
	ctx, cancel := r.limit(ctx)
	defer cancel()
	resp, err := client.MemberRemove(ctx, r.old.ID)
	if err != nil {
		return nil, err
	}
	r.say("Removed member %s from the cluster", called(r.old))
	return resp.Members, nil
}

// add puts the new member in.
func (r *replacement) add(ctx context.Context, client *clientv3.Client) (addedMember, error) {
	added, err := r.addMember(ctx, client, r.new)
	if err != nil {
		return added, err
	}
	id := added.resp.GetMember().GetID()
	r.say("Added %s to the cluster as learner %s", r.new.name, hexID(id))
	switch {
	case added.promotesItself:
		r.say("It will be promoted when it runs and has caught up")
	case r.new.autoPromote:
		r.warnOfPromotion(r.new.name, id)
	default:
		r.say("When it runs and has caught up, type: etcdctl member promote %s", hexID(id))
	}
	return added, nil
}

// say tells of a step, apart from the result that scripts read.
func (r *replacement) say(format string, args ...any) {
	fmt.Fprintf(r.env.Err, format+"\n", args...)
}

// called names a member for people.
func called(m *pb.Member) string {
	if m.Name == "" {
		return hexID(m.ID)
	}
	return hexID(m.ID) + " (" + m.Name + ")"
}
