package ctl

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/v3/concurrency"

	"bowline/internal/cli"
)

// lock is the command lock.
type lock struct {
	ttl int
}

// lockTTL is the default of --ttl, in seconds.
const lockTTL = 10

func newLock(env *Env) *cobra.Command {
	o := &lock{}
	cmd := &cobra.Command{
		Use:   "lock <lockname> [exec-command arg1 arg2 ...]",
		Short: "Takes a named lock, and holds it while a command runs",
		RunE:  env.action(o),
	}
	cmd.Flags().IntVar(&o.ttl, "ttl", lockTTL, "seconds until the lock of a dead holder is free")
	return cmd
}

func (o *lock) run(ctx context.Context, env *Env, args []string) error {
	if len(args) == 0 {
		return cli.BadArgs("lock takes a lock name argument and an optional command to execute")
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	held, err := concurrency.NewSession(s.Client, concurrency.WithTTL(o.ttl))
	if err != nil {
		return err
	}
	m := concurrency.NewMutex(held, args[0])

	waitCtx, stop := env.interruptible(ctx)
	defer stop()
	if err := m.Lock(waitCtx); err != nil {
		return err
	}
	if len(args) > 1 {
		err := o.runLocked(env, m, args[1:])
		return errors.Join(err, m.Unlock(ctx))
	}
	if err := s.printKey(waitCtx, m.Key()); err != nil {
		return err
	}
	select {
	case <-waitCtx.Done():
		return m.Unlock(ctx)
	case <-held.Done():
		return errors.New("session expired")
	}
}

// runLocked runs the user's command, whose exit status becomes ours.
func (o *lock) runLocked(env *Env, m *concurrency.Mutex, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(env.Environ[:len(env.Environ):len(env.Environ)],
		"ETCD_LOCK_KEY="+m.Key(),
		fmt.Sprintf("ETCD_LOCK_REV=%d", m.Header().GetRevision()),
	)
	cmd.Stdout, cmd.Stderr = env.Out, env.Err
	err := cmd.Run()
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() > 0 {
		return cli.Exit(status.ExitCode(), err)
	}
	return err
}

// printKey shows a key that we own as get would.
func (s *session) printKey(ctx context.Context, key string) error {
	resp, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	if len(resp.Kvs) == 0 {
		return errors.New("no lock key: session expired")
	}
	return s.Print(rangeResult((*pb.RangeResponse)(resp), false))
}

// interruptible returns a context that ends with SIGINT or SIGTERM, which from
// then on do not end the process.
func (env *Env) interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals, stop := env.Notify()
	go func() {
		select {
		case <-signals:
			env.interrupted.Store(true)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		stop()
		cancel()
	}
}
