package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// checkDatascale is the command check datascale.
type checkDatascale struct {
	checkOptions
}

// dataLoad is how many pairs are stored.
type dataLoad struct {
	pairs   int
	clients int
}

var dataLoads = map[string]dataLoad{"s": {10000, 50}, "m": {100000, 200}, "l": {1000000, 500}, "xl": {3000000, 1000}}

// dataHalfBytes is the size of a key and of a value.
const dataHalfBytes = 512

func newCheckDatascale(env *Env) *cobra.Command {
	o := &checkDatascale{}
	cmd := &cobra.Command{
		Use:   "datascale [options]",
		Short: "Measures the memory that a server takes to hold a number of keys",
		Long:  "Measures the memory that the server behind the first endpoint takes to hold a number of keys.",
		RunE:  env.action(o),
	}
	o.addFlags(cmd, "/etcdctl-check-datascale/")
	return cmd
}

func (o *checkDatascale) run(ctx context.Context, env *Env, _ []string) error {
	name, err := o.loadName()
	if err != nil {
		return err
	}
	load := dataLoads[name]
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := o.requireEmpty(ctx, s, ""); err != nil {
		return err
	}
	fmt.Fprintf(env.Out, "Start data scale check for work load [%d key-value pairs, %d bytes per key-value, %d concurrent clients].\n",
		load.pairs, 2*dataHalfBytes, load.clients)
	before, err := s.residentMemory(ctx)
	if err != nil {
		return unreadableMemory(env, "before")
	}
	failures, err := o.fill(ctx, s, load)
	if err != nil {
		return err
	}
	after, err := s.residentMemory(ctx)
	if err != nil {
		return errors.Join(o.cleanUp(ctx, s), unreadableMemory(env, "after"))
	}
	if err := o.cleanUp(ctx, s); err != nil {
		return err
	}
	if failures.report(env) {
		return cli.Exit(cli.ExitFailure, nil)
	}
	fmt.Fprintf(env.Out, "PASS: Approximate system memory used : %.2f MB.\n", (after-before)/(1<<20))
	return nil
}

func unreadableMemory(env *Env, when string) error {
	fmt.Fprintf(env.Out, "FAIL: Could not read process_resident_memory_bytes %s the put operations.\n", when)
	return cli.Exit(cli.ExitFailure, nil)
}

// fill stores the pairs, and returns the errors that puts failed with.
func (o *checkDatascale) fill(ctx context.Context, s *session, load dataLoad) (errorCounts, error) {
	var mu sync.Mutex // guards failures
	failures := errorCounts{}
	var done atomic.Int64
	w, err := startWriters(ctx, s, load.clients, func(ctx context.Context, c *clientv3.Client, p put) {
		_, err := c.Put(ctx, p.key, p.value)
		done.Add(1)
		mu.Lock()
		defer mu.Unlock()
		failures.add(err)
	})
	if err != nil {
		return nil, err
	}
	bar := s.env.newProgress(false)
	for range load.pairs {
		w.puts <- randomPut(o.prefix, dataHalfBytes, dataHalfBytes)
		bar.set(done.Load(), int64(load.pairs))
	}
	w.wait()
	bar.set(done.Load(), int64(load.pairs))
	bar.finish()
	return failures, nil
}

// metricsTimeout bounds one look at a server's metrics.
const metricsTimeout = 10 * time.Second

// residentMemory asks the server behind the first endpoint for its memory.
func (s *session) residentMemory(ctx context.Context) (float64, error) {
	url := s.cfg.Endpoints[0]
	if !strings.Contains(url, "://") {
		scheme := "http://"
		if s.cfg.TLS != nil {
			scheme = "https://"
		}
		url = scheme + url
	}
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: s.cfg.TLS}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return findMetric(resp.Body, "process_resident_memory_bytes")
}

// findMetric reads the value of a metric without labels.
func findMetric(text io.Reader, name string) (float64, error) {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("no metric %s", name)
}
