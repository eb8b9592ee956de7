package ctl

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func newCheck(env *Env) *cobra.Command {
	return newGroup("check", "Checks properties of the cluster", newCheckDatascale(env), newCheckPerf(env))
}

// checkLoads are the values of --load, long and short.
var checkLoads = map[string]string{
	"s": "s", "small": "s", "m": "m", "medium": "m", "l": "l", "large": "l", "xl": "xl", "xLarge": "xl",
}

// checkOptions are the flags that both checks take.
type checkOptions struct {
	load        string
	prefix      string
	autoCompact bool
	autoDefrag  bool
}

func (o *checkOptions) addFlags(cmd *cobra.Command, prefix string) {
	fs := cmd.Flags()
	fs.StringVar(&o.load, "load", "s", "size of the load: s(mall), m(edium), l(arge) or xl(arge)")
	fs.StringVar(&o.prefix, "prefix", prefix, "prefix of the keys that are written")
	fs.BoolVar(&o.autoCompact, "auto-compact", false, "compact when the check is done")
	fs.BoolVar(&o.autoDefrag, "auto-defrag", false, "defragment when the check is done")
	registerCompletion(cmd, "load", []string{"small", "medium", "large", "xLarge"})
}

// loadName returns the short name of the load.
func (o *checkOptions) loadName() (string, error) {
	name, known := checkLoads[o.load]
	if !known {
		return "", cli.Exitf(cli.ExitBadFeature, "unknown load option %s", o.load)
	}
	return name, nil
}

// requireEmpty refuses to write where there are keys already: they would be
// deleted in the end.
func (o *checkOptions) requireEmpty(ctx context.Context, s *session, quote string) error {
	resp, err := s.Get(ctx, o.prefix, clientv3.WithPrefix(), clientv3.WithLimit(1))
	if err != nil {
		return err
	}
	if len(resp.Kvs) > 0 {
		return cli.Exitf(cli.ExitInvalidInput, "prefix %q has keys. Delete with %setcdctl del --prefix %s%s first", o.prefix, quote, o.prefix, quote)
	}
	return nil
}

// cleanUp deletes the keys, and compacts and defragments if that was asked for.
func (o *checkOptions) cleanUp(ctx context.Context, s *session) error {
	resp, err := s.Delete(ctx, o.prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	out := s.env.Out
	if o.autoCompact {
		rev := resp.Header.GetRevision()
		fmt.Fprintf(out, "Compacting with revision %d\n", rev)
		if _, err := s.Compact(ctx, rev, clientv3.WithCompactPhysical()); err != nil {
			return err
		}
		fmt.Fprintf(out, "Compacted with revision %d\n", rev)
	}
	if !o.autoDefrag {
		return nil
	}
	for _, ep := range s.Endpoints() {
		fmt.Fprintf(out, "Defragmenting %q\n", ep)
		if _, err := s.Defragment(ctx, ep); err != nil {
			return err
		}
		fmt.Fprintf(out, "Defragmented %q\n", ep)
	}
	return nil
}

// put is one write of a check.
type put struct{ key, value string }

// randomPut makes a write with a key and a value of random bytes.
func randomPut(prefix string, keyBytes, valueBytes int) put {
	return put{prefix + randomText(keyBytes), randomText(valueBytes)}
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return string(b)
}

// writers carry out puts with a number of clients at once.
type writers struct {
	puts    chan put
	clients []*clientv3.Client
	wg      sync.WaitGroup
}

// startWriters starts one goroutine for each client, which calls write for what
// comes out of puts. wait ends them.
func startWriters(ctx context.Context, s *session, clients int, write func(context.Context, *clientv3.Client, put)) (*writers, error) {
	w := &writers{puts: make(chan put)}
	for range clients {
		client, err := s.dial(ctx, s.cfg)
		if err != nil {
			w.wait()
			return nil, err
		}
		w.clients = append(w.clients, client)
		w.wg.Go(func() {
			for p := range w.puts {
				write(ctx, client, p)
			}
		})
	}
	return w, nil
}

// wait lets the writers finish what they were given.
func (w *writers) wait() {
	close(w.puts)
	w.wg.Wait()
	for _, c := range w.clients {
		c.Close()
	}
}

// errorCounts counts errors by their text.
type errorCounts map[string]int

func (c errorCounts) add(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		c[err.Error()]++
	}
}

// report writes the errors, and whether there were any.
func (c errorCounts) report(env *Env) bool {
	if len(c) == 0 {
		return false
	}
	fmt.Fprintln(env.Out, "FAIL: too many errors")
	for text, n := range c {
		fmt.Fprintf(env.Out, "FAIL: ERROR(%v) -> %d\n", text, n)
	}
	return true
}
