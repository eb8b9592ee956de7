package ctl

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// replacement is one run of member replace.
type replacement struct {
	*session
	new newcomer

	// What plan finds out and decides.
	old         *pb.Member
	serving     []string // client URLs of the other voters that serve
	removeFirst bool
}

// plan looks at the cluster without changing it, and fails unless the change is
// safe; force lets pass what only might be a mistake.
func (r *replacement) plan(ctx context.Context, id uint64, force bool) error {
	members, err := r.list(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(members, func(m *pb.Member) bool { return m.ID == id })
	if at < 0 {
		return fmt.Errorf("%w: no %s in the list of members", rpctypes.ErrMemberNotFound, hexID(id))
	}
	r.old = members[at]
	others := slices.Concat(members[:at], members[at+1:])
	if err := r.addressesFree(others); err != nil {
		return err
	}
	voters := slices.DeleteFunc(slices.Clone(others), func(m *pb.Member) bool { return m.IsLearner })
	if len(voters) == 0 {
		return fmt.Errorf("member %s is the only voter, its data would be lost: add the new member first", called(r.old))
	}
	if len(voters) < len(others) && !force {
		return fmt.Errorf("there is a learner already, perhaps of a replacement that was interrupted, and a cluster takes only one unless it is told otherwise: promote or remove it first, or use --force")
	}
	found := r.census(ctx, append(voters, r.old))
	old, found := found[len(voters)], found[:len(voters)]
	if err := r.othersServe(found, force); err != nil {
		return err
	}
	return r.decide(old, force)
}

func (r *replacement) list(ctx context.Context) ([]*pb.Member, error) {
	ctx, cancel := r.limit(ctx)
	defer cancel()
	resp, err := r.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the members: %w", err)
	}
	return resp.Members, nil
}

// addressesFree makes sure that no other member has an address of the new one;
// the old member's may be taken over.
func (r *replacement) addressesFree(others []*pb.Member) error {
	for _, m := range others {
		for _, url := range r.new.peerURLs {
			if slices.Contains(m.PeerURLs, url) {
				return fmt.Errorf("%s is an address of member %s", url, called(m))
			}
		}
	}
	return nil
}

// othersServe makes sure that the cluster is healthy without the old member. A
// majority of the voters that remain has to serve whatever the operator says:
// without one nothing could be decided any more, this change least of all.
func (r *replacement) othersServe(found []condition, force bool) error {
	var silent []string
	for _, c := range found {
		if c.err != nil {
			silent = append(silent, fmt.Sprintf("member %s does not serve: %v", called(c.member), c.err))
			continue
		}
		r.serving = append(r.serving, c.member.ClientURLs...)
	}
	healthy, needed := len(found)-len(silent), len(found)/2+1
	if healthy < needed {
		return fmt.Errorf("only %d of the %d voters besides member %s serve, %d are needed:\n\t%s",
			healthy, len(found), called(r.old), needed, strings.Join(silent, "\n\t"))
	}
	if len(silent) > 0 && !force {
		return fmt.Errorf("the cluster would not be healthy without member %s:\n\t%s\nRepair that first, or use --force",
			called(r.old), strings.Join(silent, "\n\t"))
	}
	return nil
}

// decide looks at the old member and chooses the order. One that is down gives
// nothing, so it goes first. One that is alive and votes goes last, unless the new
// one shall have its address.
func (r *replacement) decide(old condition, force bool) error {
	takesOver := slices.ContainsFunc(r.new.peerURLs, func(url string) bool { return slices.Contains(r.old.PeerURLs, url) })
	if !old.alive {
		r.say("Member %s does not answer: %v", called(r.old), old.err)
		r.removeFirst = true
		return nil
	}
	if !force {
		return fmt.Errorf("member %s is alive, and the cluster would be weaker until the new one has caught up. Better add the new one first:\n\t%s\nstart it, and when `etcdctl member list` shows that it is no learner any more:\n\tetcdctl member remove %s\nOr stop the old one, or use --force",
			called(r.old), r.new.command(), hexID(r.old.ID))
	}
	r.say("Member %s is alive, and is replaced all the same", called(r.old))
	r.removeFirst = r.old.IsLearner || takesOver
	return nil
}
