package ctl

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// checkPerf is the command check perf.
type checkPerf struct {
	checkOptions
	duration time.Duration
}

// perfLoad is how much is asked of the cluster.
type perfLoad struct {
	perSecond int
	clients   int
}

var perfLoads = map[string]perfLoad{"s": {150, 50}, "m": {1000, 200}, "l": {8000, 500}, "xl": {15000, 1000}}

const (
	perfDuration   = 60 * time.Second
	perfKeyBytes   = 256
	perfValueBytes = 1024

	// What a healthy cluster keeps to.
	perfMinShare  = 0.9 // of the writes asked for
	perfMaxPut    = 500 * time.Millisecond
	perfMaxStddev = 100 * time.Millisecond
)

func newCheckPerf(env *Env) *cobra.Command {
	o := &checkPerf{duration: perfDuration}
	cmd := &cobra.Command{Use: "perf [options]", Short: "Checks whether the cluster keeps up with a load of writes", RunE: env.action(o)}
	o.addFlags(cmd, "/etcdctl-check-perf/")
	return cmd
}

func (o *checkPerf) run(ctx context.Context, env *Env, _ []string) error {
	name, err := o.loadName()
	if err != nil {
		return err
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := o.requireEmpty(ctx, s, "'"); err != nil {
		return err
	}
	result, err := o.measure(ctx, s, perfLoads[name])
	if err != nil {
		return err
	}
	if err := o.cleanUp(ctx, s); err != nil {
		return err
	}
	if !result.report(env, perfLoads[name].perSecond) {
		return cli.Exit(cli.ExitFailure, nil)
	}
	return nil
}

// measure writes at the rate of the load, until the time is up or a signal comes.
func (o *checkPerf) measure(ctx context.Context, s *session, load perfLoad) (*perfResult, error) {
	untilSignal, stop := s.env.interruptible(ctx)
	defer stop()
	timed, cancel := context.WithTimeout(untilSignal, o.duration)
	defer cancel()

	result := &perfResult{errors: errorCounts{}}
	// Puts that are under way when the time is up may finish.
	w, err := startWriters(untilSignal, s, load.clients, func(ctx context.Context, c *clientv3.Client, p put) {
		start := time.Now()
		_, err := c.Put(ctx, p.key, p.value)
		result.add(time.Since(start), err)
	})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	bar := s.env.newProgress(false)
	defer bar.finish()
	pace(timed, load.perSecond, func() bool {
		elapsed := time.Since(start)
		bar.set(int64(elapsed/time.Second), int64(o.duration/time.Second))
		select {
		case w.puts <- randomPut(o.prefix, perfKeyBytes, perfValueBytes):
			return true
		case <-timed.Done():
			return false
		}
	})
	result.took = time.Since(start)
	w.wait()
	return result, nil
}

// pace calls do perSecond times a second until ctx ends or do returns false. It
// makes up for at most a tenth of a second lost, so that a stall of the server
// shows in the number of calls.
func pace(ctx context.Context, perSecond int, do func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	last, due := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			due += now.Sub(last).Seconds() * float64(perSecond)
			due = min(due, max(1, float64(perSecond)/10))
			last = now
		}
		for ; due >= 1; due-- {
			if !do() {
				return
			}
		}
	}
}

// perfResult collects how long puts took.
type perfResult struct {
	took time.Duration

	mu      sync.Mutex // guards what follows
	latency []float64  // seconds
	errors  errorCounts
}

func (r *perfResult) add(took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.errors.add(err)
		return
	}
	r.latency = append(r.latency, took.Seconds())
}

// summary returns the puts a second, the slowest one and the standard
// deviation, both in seconds.
func (r *perfResult) summary() (perSecond, slowest, stddev float64) {
	n := float64(len(r.latency))
	if n == 0 || r.took == 0 {
		return 0, 0, 0
	}
	var sum, squares float64
	for _, l := range r.latency {
		sum += l
		slowest = max(slowest, l)
	}
	for _, l := range r.latency {
		squares += (l - sum/n) * (l - sum/n)
	}
	return n / r.took.Seconds(), slowest, math.Sqrt(squares / n)
}

// report writes the verdict and returns whether it is a good one.
func (r *perfResult) report(env *Env, wanted int) bool {
	perSecond, slowest, stddev := r.summary()
	ok := !r.errors.report(env)
	verdict := func(pass bool, good, bad string, value any) {
		ok = ok && pass
		if pass {
			fmt.Fprintf(env.Out, "PASS: "+good+"\n", value)
		} else {
			fmt.Fprintf(env.Out, bad+"\n", value)
		}
	}
	verdict(perSecond > perfMinShare*float64(wanted), "Throughput is %d writes/s", "FAIL: Throughput too low: %d writes/s", int(math.Ceil(perSecond)))
	verdict(slowest <= perfMaxPut.Seconds(), "Slowest request took %fs", "Slowest request took too long: %fs", slowest)
	verdict(stddev <= perfMaxStddev.Seconds(), "Stddev is %fs", "Stddev too high: %fs", stddev)
	if !ok {
		fmt.Fprintln(env.Out, "FAIL")
		return false
	}
	fmt.Fprintln(env.Out, "PASS")
	return true
}
