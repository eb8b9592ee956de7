package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Rejoin gives a member a new start, as after the loss of its disk: it ends the
// process, takes the member out of the cluster, deletes its data, adds it again
// under the same name and address, and waits until it answers.
func (c *Cluster) Rejoin(ctx context.Context, m *Server) error {
	if err := m.Crash(); err != nil {
		return err
	}
	if err := c.forget(ctx, m); err != nil {
		return err
	}
	if err := os.RemoveAll(m.DataDir); err != nil {
		return err
	}
	return c.join(ctx, m, false)
}

// Add makes the cluster larger by a new member and waits until it answers.
func (c *Cluster) Add(ctx context.Context, learner bool) (*Server, error) {
	m, err := c.newMember()
	if err != nil {
		return nil, err
	}
	if err := c.join(ctx, m, learner); err != nil {
		m.Kill()
		return nil, err
	}
	c.Members = append(c.Members, m)
	return m, nil
}

// Remove makes the cluster smaller by one member, which is ended afterwards.
func (c *Cluster) Remove(ctx context.Context, m *Server) error {
	if err := c.forget(ctx, m); err != nil {
		return err
	}
	c.Members = slices.DeleteFunc(c.Members, func(other *Server) bool { return other == m })
	m.Kill()
	return nil
}

// Promote makes a learner a voter, as soon as it may become one.
func (c *Cluster) Promote(ctx context.Context, m *Server) error {
	return c.change(ctx, m, func(ctx context.Context, client *clientv3.Client) error {
		id, _, err := findMember(ctx, client, m)
		if err != nil {
			return err
		}
		_, err = client.MemberPromote(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotLearner) {
			return nil // an attempt whose answer was lost has done it
		}
		return err
	})
}

// forget takes a member out of the cluster's list.
func (c *Cluster) forget(ctx context.Context, m *Server) error {
	return c.change(ctx, m, func(ctx context.Context, client *clientv3.Client) error {
		id, _, err := findMember(ctx, client, m)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		if err == nil {
			_, err = client.MemberRemove(ctx, id)
		}
		return err
	})
}

// join puts a member into the cluster's list and starts it.
func (c *Cluster) join(ctx context.Context, m *Server, learner bool) error {
	err := c.change(ctx, m, func(ctx context.Context, client *clientv3.Client) error {
		add := client.MemberAdd
		if learner {
			add = client.MemberAddAsLearner
		}
		if _, err := add(ctx, []string{m.PeerURL()}); err != nil && !errors.Is(err, rpctypes.ErrPeerURLExist) {
			return err // that it is there, an attempt before may have caused
		}
		id, members, err := findMember(ctx, client, m)
		if err != nil {
			return err
		}
		m.cluster, m.state = initialCluster(members, id, m.Name), "existing"
		return nil
	})
	if err != nil {
		return err
	}
	if err := m.Launch(); err != nil {
		return err
	}
	return m.wait(ctx, m.healthy)
}

// initialCluster is the setting by which a new member learns of the others.
func initialCluster(members []*etcdserverpb.Member, id uint64, name string) string {
	var all []string
	for _, member := range members {
		called := member.Name
		if member.ID == id {
			called = name
		}
		for _, url := range member.PeerURLs {
			all = append(all, called+"="+url)
		}
	}
	return strings.Join(all, ",")
}

// findMember looks a member up by its address; before its first start it has no
// name in the list.
func findMember(ctx context.Context, client *clientv3.Client, m *Server) (id uint64, members []*etcdserverpb.Member, err error) {
	list, err := client.MemberList(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, member := range list.Members {
		if slices.Contains(member.PeerURLs, m.PeerURL()) {
			return member.ID, list.Members, nil
		}
	}
	return 0, list.Members, rpctypes.ErrMemberNotFound
}

// change asks the other members for a change, again and again while they refuse
// it for what passes: no leader, a connection that is too young, a learner that
// has not caught up.
func (c *Cluster) change(ctx context.Context, m *Server, try func(context.Context, *clientv3.Client) error) error {
	client, err := c.Client(m)
	if err != nil {
		return err
	}
	defer client.Close()
	poll := time.NewTicker(10 * pollInterval)
	defer poll.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, startPatience/3)
		err := try(attempt, client)
		cancel()
		if err == nil {
			return nil
		}
		if !passes(err) {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", m.Name, errors.Join(ctx.Err(), err))
		case <-poll.C:
		}
	}
}

// passes tells whether a refusal may be another answer in a while.
func passes(err error) bool {
	for _, lasting := range []error{
		rpctypes.ErrMemberNotFound, rpctypes.ErrMemberExist, rpctypes.ErrMemberBadURLs,
		rpctypes.ErrMemberNotLearner, rpctypes.ErrTooManyLearners, rpctypes.ErrPermissionDenied,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true
}
