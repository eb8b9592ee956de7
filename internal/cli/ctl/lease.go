package ctl

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func newLease(env *Env) *cobra.Command {
	return newGroup("lease", "Lease related commands",
		newLeaseGrant(env), newLeaseRevoke(env), newLeaseTimeToLive(env), newLeaseList(env), newLeaseKeepAlive(env))
}

// parseLease reads the ID of a lease from the command line.
func parseLease(text string) (clientv3.LeaseID, error) {
	id, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return 0, cli.BadArgs("bad lease ID arg (%w), expecting ID in Hex", err)
	}
	return clientv3.LeaseID(id), nil
}

// leaseGrant is the command lease grant.
type leaseGrant struct{}

func newLeaseGrant(env *Env) *cobra.Command {
	return &cobra.Command{Use: "grant <ttl>", Short: "Creates a lease", RunE: env.action(leaseGrant{})}
}

func (leaseGrant) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("lease grant command needs TTL argument")
	}
	ttl, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return cli.BadArgs("bad TTL (%w)", err)
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := s.Grant(ctx, ttl)
	if err != nil {
		return fmt.Errorf("failed to grant lease (%w)", err)
	}
	return s.Print(cli.Result{
		Simple: func(w *cli.TextWriter) {
			w.Linef("lease %s granted with TTL(%ds)", leaseText(resp.ID), resp.TTL)
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.ResponseHeader)
			w.LeaseID("ID", int64(resp.ID))
			w.Value("TTL", resp.TTL)
		},
		JSON:  resp,
		Proto: &pb.LeaseGrantResponse{Header: resp.ResponseHeader, ID: int64(resp.ID), TTL: resp.TTL, Error: resp.Error},
	})
}

// leaseRevoke is the command lease revoke.
type leaseRevoke struct{}

func newLeaseRevoke(env *Env) *cobra.Command {
	return &cobra.Command{Use: "revoke <leaseID>", Short: "Revokes a lease and deletes its keys", RunE: env.action(leaseRevoke{})}
}

func (leaseRevoke) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("lease revoke command needs 1 argument")
	}
	id, err := parseLease(args[0])
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
	resp, err := s.Revoke(ctx, id)
	if err != nil {
		return fmt.Errorf("failed to revoke lease (%w)", err)
	}
	return s.Print(answer((*pb.LeaseRevokeResponse)(resp), "lease %s revoked", leaseText(id)))
}

// leaseTimeToLive is the command lease timetolive.
type leaseTimeToLive struct {
	keys bool
}

func newLeaseTimeToLive(env *Env) *cobra.Command {
	o := &leaseTimeToLive{}
	cmd := &cobra.Command{Use: "timetolive [options] <leaseID>", Short: "Shows how long a lease has left", RunE: env.action(o)}
	cmd.Flags().BoolVar(&o.keys, "keys", false, "list the keys attached to the lease")
	return cmd
}

func (o *leaseTimeToLive) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("lease timetolive command needs lease ID as argument")
	}
	id, err := parseLease(args[0])
	if err != nil {
		return err
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var opts []clientv3.LeaseOption
	if o.keys {
		opts = append(opts, clientv3.WithAttachedKeys())
	}
	resp, err := s.TimeToLive(ctx, id, opts...)
	if err != nil {
		return cli.Exit(cli.ExitBadConnection, err)
	}
	return s.Print(timeToLiveResult(resp, o.keys))
}

func timeToLiveResult(resp *clientv3.LeaseTimeToLiveResponse, keys bool) cli.Result {
	return cli.Result{
		Simple: func(w *cli.TextWriter) {
			if resp.GrantedTTL == 0 && resp.TTL == -1 {
				w.Linef("lease %s already expired", leaseText(resp.ID))
				return
			}
			attached := ""
			if keys {
				attached = fmt.Sprintf(", attached keys(%s)", resp.Keys)
			}
			w.Linef("lease %s granted with TTL(%ds), remaining(%ds)%s", leaseText(resp.ID), resp.GrantedTTL, resp.TTL, attached)
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.ResponseHeader)
			w.LeaseID("ID", int64(resp.ID))
			w.Value("TTL", resp.TTL)
			w.Value("GrantedTTL", resp.GrantedTTL)
			for _, key := range resp.Keys {
				w.Quoted("Key", string(key))
			}
		},
		JSON: resp,
		Proto: &pb.LeaseTimeToLiveResponse{
			Header: resp.ResponseHeader, ID: int64(resp.ID), TTL: resp.TTL, GrantedTTL: resp.GrantedTTL, Keys: resp.Keys,
		},
	}
}

// leaseList is the command lease list.
type leaseList struct{}

func newLeaseList(env *Env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Lists all leases, the soonest to expire first", RunE: env.action(leaseList{})}
}

func (leaseList) run(ctx context.Context, env *Env, _ []string) error {
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	resp, err := s.Leases(ctx)
	if err != nil {
		return cli.Exit(cli.ExitBadConnection, err)
	}
	leases := &pb.LeaseLeasesResponse{Header: resp.ResponseHeader}
	for _, l := range resp.Leases {
		leases.Leases = append(leases.Leases, &pb.LeaseStatus{ID: int64(l.ID)})
	}
	return s.Print(cli.Result{
		Simple: func(w *cli.TextWriter) {
			w.Linef("found %d leases", len(resp.Leases))
			for _, l := range resp.Leases {
				w.Linef("%s", leaseText(l.ID))
			}
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.ResponseHeader)
			for _, l := range resp.Leases {
				w.LeaseID("ID", int64(l.ID))
			}
		},
		JSON:  resp,
		Proto: leases,
	})
}

// leaseKeepAlive is the command lease keep-alive.
type leaseKeepAlive struct {
	once bool
}

func newLeaseKeepAlive(env *Env) *cobra.Command {
	o := &leaseKeepAlive{}
	cmd := &cobra.Command{Use: "keep-alive [options] <leaseID>", Short: "Keeps a lease alive by renewing it", RunE: env.action(o)}
	cmd.Flags().BoolVar(&o.once, "once", false, "renew the lease once and exit")
	return cmd
}

func (o *leaseKeepAlive) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("lease keep-alive command needs lease ID as argument")
	}
	id, err := parseLease(args[0])
	if err != nil {
		return err
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if o.once {
		resp, err := s.KeepAliveOnce(ctx, id)
		if err != nil {
			return cli.Exit(cli.ExitBadConnection, err)
		}
		return s.Print(keepAliveResult(resp))
	}
	renewals, err := s.KeepAlive(ctx, id)
	if err != nil {
		return cli.Exit(cli.ExitBadConnection, err)
	}
	for resp := range renewals {
		if err := s.Print(keepAliveResult(resp)); err != nil {
			return err
		}
	}
	if s.Format != cli.FormatSimple {
		return nil
	}
	return s.Print(cli.Text("lease %s expired or revoked.", leaseText(id)))
}

func keepAliveResult(resp *clientv3.LeaseKeepAliveResponse) cli.Result {
	return cli.Result{
		Simple: func(w *cli.TextWriter) {
			w.Linef("lease %s keepalived with TTL(%d)", leaseText(resp.ID), resp.TTL)
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.ResponseHeader)
			w.LeaseID("ID", int64(resp.ID))
			w.Value("TTL", resp.TTL)
		},
		JSON:  resp,
		Proto: &pb.LeaseKeepAliveResponse{Header: resp.ResponseHeader, ID: int64(resp.ID), TTL: resp.TTL},
	}
}
