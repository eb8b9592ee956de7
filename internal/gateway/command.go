package gateway

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"bowline/internal/outpost"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

// options are the flags of `etcd gateway start`.
type options struct {
	listen     string
	endpoints  []string
	lookup     outpost.Lookup
	retryDelay time.Duration
}

// Command is `etcd gateway`.
func Command(env *outpost.Env) *cobra.Command {
	c := &cobra.Command{Use: "gateway <subcommand>", Short: "gateway related command"}
	c.AddCommand(startCommand(env))
	return c
}

func startCommand(env *outpost.Env) *cobra.Command {
	var o options
	c := &cobra.Command{Use: "start", Short: "start the gateway", Run: func(*cobra.Command, []string) { o.run(env) }}
	f := c.Flags()
	f.StringVar(&o.listen, "listen-addr", "127.0.0.1:23790", "listen address")
	f.StringVar(&o.lookup.Domain, "discovery-srv", "", "DNS domain used to bootstrap initial cluster")
	f.StringVar(&o.lookup.Service, "discovery-srv-name", "", "service name to query when using DNS discovery")
	f.BoolVar(&o.lookup.Insecure, "insecure-discovery", false, "accept insecure SRV records")
	f.StringVar(&o.lookup.CAFile, "trusted-ca-file", "",
		"path to the client server TLS CA file for verifying the discovered endpoints when discovery-srv is provided.")
	f.StringSliceVar(&o.endpoints, "endpoints", []string{"127.0.0.1:2379"}, "comma separated etcd cluster endpoints")
	f.DurationVar(&o.retryDelay, "retry-delay", time.Minute, "duration of delay before retrying failed endpoints")
	return c
}

func (o *options) run(env *outpost.Env) {
	log, err := outpost.NewLogger(zap.InfoLevel)
	if err != nil {
		env.Fail(err)
		return
	}
	log.Info("Running: ", zap.Strings("args", env.Args))
	endpoints, refusal, err := o.find(env.Context, log)
	switch {
	case err != nil:
		env.Fail(err)
		return
	case refusal != "":
		env.Say(refusal)
		return
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		env.Fail(err)
		return
	}
	g := New(Config{Endpoints: endpoints, RetryDelay: o.retryDelay, Logger: log})
	env.Ready(log)
	if err := g.Serve(env.Context, l); err != nil {
		env.Fail(err)
	}
}

// find settles what to connect with. The refusal says, in etcd's words, what is wrong with it.
func (o *options) find(ctx context.Context, log *zap.Logger) (endpoints []Endpoint, refusal string, err error) {
	_, records, err := o.lookup.Find(log)
	if err != nil {
		return nil, "", err
	}
	for _, r := range records {
		addr := net.JoinHostPort(r.Target, strconv.Itoa(int(r.Port)))
		endpoints = append(endpoints, Endpoint{Addr: addr, Priority: r.Priority, Weight: r.Weight})
	}
	if len(endpoints) == 0 {
		for _, e := range o.endpoints {
			addr := outpost.HostPort(e)
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return nil, fmt.Sprintf("error parsing endpoint %q", addr), nil
			}
			endpoints = append(endpoints, Endpoint{Addr: addr})
		}
	}
	if refusal := o.check(ctx, endpoints); refusal != "" {
		return nil, refusal, nil
	}
	return endpoints, "", nil
}

// check refuses endpoints that cannot be, and to be one's own endpoint.
func (o *options) check(ctx context.Context, endpoints []Endpoint) (refusal string) {
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Sprintln("failed to validate listen address:", o.listen)
	}
	own, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return fmt.Sprintln("failed to resolve listen host:", host)
	}
	for _, e := range endpoints {
		target, at, err := net.SplitHostPort(e.Addr)
		if err != nil {
			return fmt.Sprintf("error parsing endpoint %q", e.Addr)
		}
		places, err := net.DefaultResolver.LookupHost(ctx, target)
		if err != nil {
			return fmt.Sprintln("failed to resolve endpoint host:", target)
		}
		if at != port {
			continue
		}
		for _, place := range places {
			if slices.Contains(own, place) {
				return fmt.Sprintf("SRV or endpoint (%s:%s->%s:%s) should not resolve to the gateway listen addr (%s)\n",
					target, at, place, at, o.listen)
			}
		}
	}
	if len(endpoints) == 0 {
		return fmt.Sprintln("no endpoints found")
	}
	return ""
}
