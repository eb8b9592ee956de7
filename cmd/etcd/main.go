// Command etcd runs one member of a Bowline cluster.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"bowline/internal/member"

	"go.uber.org/zap"
)

func main() {
	name := flag.String("name", "default", "")
	dir := flag.String("data-dir", "", "")
	lc := flag.String("listen-client-urls", "http://localhost:2379", "")
	ac := flag.String("advertise-client-urls", "http://localhost:2379", "")
	lp := flag.String("listen-peer-urls", "http://localhost:2380", "")
	ap := flag.String("initial-advertise-peer-urls", "http://localhost:2380", "")
	ic := flag.String("initial-cluster", "", "")
	quota := flag.Int64("quota-backend-bytes", 0, "")
	ops := flag.Int("max-txn-ops", 128, "")
	prog := flag.Duration("watch-progress-notify-interval", 0, "")
	flag.Int("auth-token-ttl", 300, "")
	pp := flag.Bool("enable-pprof", false, "")
	level := flag.String("log-level", "info", "")
	flag.Parse()
	if *dir == "" {
		*dir = *name + ".etcd"
	}
	if *ic == "" {
		*ic = *name + "=" + *ap
	}
	lvl, _ := zap.ParseAtomicLevel(*level)
	zc := zap.NewProductionConfig()
	zc.Level = lvl
	log, _ := zc.Build()
	u := func(s string) url.URL { p, _ := url.Parse(s); return *p }
	cluster := map[string][]string{}
	for _, kv := range strings.Split(*ic, ",") {
		k, v, _ := strings.Cut(kv, "=")
		cluster[k] = append(cluster[k], v)
	}
	m, err := member.Start(context.Background(), member.Config{
		Name: *name, DataDir: *dir, ListenClientURLs: []url.URL{u(*lc)}, ListenPeerURLs: []url.URL{u(*lp)},
		AdvertiseClientURLs: []string{*ac}, AdvertisePeerURLs: []string{*ap}, InitialCluster: cluster, InitialToken: "etcd-cluster",
		Tick: 100 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1, PreVote: true, MaxRequestBytes: 1572864, MaxTxnOps: *ops,
		MaxConcurrentStreams: 1<<32 - 1, QuotaBytes: *quota, WatchProgressInterval: *prog, KeepAliveMinTime: 5 * time.Second,
		KeepAliveInterval: 2 * time.Hour, KeepAliveTimeout: 20 * time.Second, EnablePprof: *pp, Logger: log,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	select {
	case <-c:
	case err := <-m.Failed():
		fmt.Fprintln(os.Stderr, err)
	}
	if err := m.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
