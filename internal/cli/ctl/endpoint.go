package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// endpointSet are the endpoints that a command asks one by one: those of
// --endpoints, or with --cluster those of all members.
type endpointSet struct {
	cluster bool
}

const clusterFlagHelp = "ask all members of the cluster instead of --endpoints"

func newEndpoint(env *Env) *cobra.Command {
	set := &endpointSet{}
	cmd := newGroup("endpoint", "Endpoint related commands",
		newEndpointHashKV(env, set),
		&cobra.Command{Use: "health", Short: "Checks whether the endpoints can commit", RunE: env.action(&endpointHealth{set})},
		&cobra.Command{Use: "status", Short: "Shows the state of the members behind the endpoints", RunE: env.action(&endpointStatus{set})},
	)
	// Persistent, so that ETCDCTL_CLUSTER works for these three.
	cmd.PersistentFlags().BoolVar(&set.cluster, "cluster", false, clusterFlagHelp)
	return cmd
}

// list returns the endpoints to ask.
func (set *endpointSet) list(ctx context.Context, s *session) ([]string, error) {
	if !set.cluster {
		return s.cfg.Endpoints, nil
	}
	client, err := s.dial(ctx, s.cfg)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to fetch endpoints from etcd cluster member list: %w", err)
	}
	var endpoints []string
	for _, m := range resp.Members {
		endpoints = append(endpoints, m.ClientURLs...)
	}
	return endpoints, nil
}

// each calls one RPC at each endpoint in turn, over a client of its own. A
// failed call is reported as "Failed to WHAT endpoint E (TEXT)", and the last one
// is returned; a client that cannot be made ends the round.
func (set *endpointSet) each(ctx context.Context, s *session, what string, call func(context.Context, *clientv3.Client, string) error) (failed, err error) {
	endpoints, err := set.list(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, ep := range endpoints {
		client, err := s.dialEndpoint(ctx, ep)
		if err != nil {
			return nil, err
		}
		callCtx, cancel := s.limit(ctx)
		err = call(callCtx, client, ep)
		cancel()
		client.Close()
		if err != nil {
			fmt.Fprintf(s.env.Err, "Failed to get the %s of endpoint %s (%v)\n", what, ep, err)
			failed = err
		}
	}
	return failed, nil
}

// endpointHashKV is the command endpoint hashkv.
type endpointHashKV struct {
	*endpointSet
	rev int64
}

func newEndpointHashKV(env *Env, set *endpointSet) *cobra.Command {
	o := &endpointHashKV{endpointSet: set}
	cmd := &cobra.Command{Use: "hashkv", Short: "Shows the hash of the key-value history at the endpoints", RunE: env.action(o)}
	cmd.Flags().Int64Var(&o.rev, "rev", 0, "last revision to hash (0: the latest)")
	return cmd
}

// endpointHash is one endpoint's answer, and its JSON form.
type endpointHash struct {
	Endpoint string
	HashKV   *pb.HashKVResponse
}

func (o *endpointHashKV) run(ctx context.Context, env *Env, _ []string) error {
	s, err := env.prepare(ctx)
	if err != nil {
		return err
	}
	var hashes []endpointHash
	failed, err := o.each(ctx, s, "hash", func(ctx context.Context, c *clientv3.Client, ep string) error {
		resp, err := c.HashKV(ctx, ep, o.rev)
		if err == nil {
			hashes = append(hashes, endpointHash{ep, (*pb.HashKVResponse)(resp)})
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.Print(hashResult(hashes)); err != nil {
		return err
	}
	return failed
}

func hashResult(hashes []endpointHash) cli.Result {
	table := &cli.Table{Header: []string{"endpoint", "hash", "hash revision"}}
	for _, h := range hashes {
		table.Rows = append(table.Rows, []string{h.Endpoint, fmt.Sprint(h.HashKV.GetHash()), fmt.Sprint(h.HashKV.GetHashRevision())})
	}
	return cli.Result{
		Table:  table,
		JSON:   hashes,
		Simple: simpleRows(table),
		Fields: func(w *cli.FieldWriter) {
			for _, h := range hashes {
				writeHeader(w, h.HashKV.GetHeader())
				w.Quoted("Endpoint", h.Endpoint)
				w.Value("Hash", h.HashKV.GetHash())
				w.Value("HashRevision", h.HashKV.GetHashRevision())
				w.Blank()
			}
		},
	}
}
