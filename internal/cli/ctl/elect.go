package ctl

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/v3/concurrency"

	"bowline/internal/cli"
)

// elect is the command elect.
type elect struct {
	listen bool
}

func newElect(env *Env) *cobra.Command {
	o := &elect{}
	cmd := &cobra.Command{Use: "elect <election-name> [proposal]", Short: "Takes part in a leader election, or observes one", RunE: env.action(o)}
	cmd.Flags().BoolVarP(&o.listen, "listen", "l", false, "observe the election")
	return cmd
}

func (o *elect) run(ctx context.Context, env *Env, args []string) error {
	switch {
	case len(args) != 1 && len(args) != 2:
		return cli.BadArgs("elect takes one election name argument and an optional proposal argument")
	case len(args) == 1 && !o.listen:
		return cli.BadArgs("no proposal argument but -l not set")
	case len(args) == 2 && o.listen:
		return cli.BadArgs("proposal given but -l is set")
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	session, err := concurrency.NewSession(s.Client)
	if err != nil {
		return err
	}
	election := concurrency.NewElection(session, args[0])
	untilSignal, stop := env.interruptible(ctx)
	defer stop()
	if o.listen {
		return s.observe(untilSignal, session, election)
	}
	return s.campaign(ctx, untilSignal, session, election, args[1])
}

// observe shows every leader there is, one after the other.
func (s *session) observe(untilSignal context.Context, session *concurrency.Session, election *concurrency.Election) error {
	leaders := election.Observe(untilSignal)
	for {
		select {
		case resp, ok := <-leaders:
			if !ok && untilSignal.Err() != nil {
				return nil
			}
			if !ok {
				return errors.New("elect: observer lost")
			}
			if err := s.Print(rangeResult((*pb.RangeResponse)(resp), false)); err != nil {
				return err
			}
		case <-untilSignal.Done():
			return nil
		case <-session.Done():
			return errElectExpired
		}
	}
}

var errElectExpired = errors.New("elect: session expired")

// campaign becomes the leader and stays it until a signal comes.
func (s *session) campaign(ctx, untilSignal context.Context, session *concurrency.Session, election *concurrency.Election, proposal string) error {
	if err := election.Campaign(untilSignal, proposal); err != nil {
		return err
	}
	if err := s.printKey(untilSignal, election.Key()); err != nil {
		return err
	}
	select {
	case <-untilSignal.Done():
		return election.Resign(ctx)
	case <-session.Done():
		return errElectExpired
	}
}
