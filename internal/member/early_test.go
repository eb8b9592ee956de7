package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestWhoWaitsForOthersCanBeWatched: a member without a majority serves no clients, but
// tells those who watch it how it is.
func TestWhoWaitsForOthersCanBeWatched(t *testing.T) {
	g := &group{t: t, configs: make(map[string]Config), members: make(map[string]*Member)}
	cfg := g.config("a")
	block, err := g.ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	defer block.Release()
	watched := url.URL{Scheme: "http", Host: block.Addr(0)}
	cfg.ListenMetricsURLs = []url.URL{watched}
	cfg.InitialCluster = map[string][]string{"a": cfg.AdvertisePeerURLs, "b": {"http://127.0.0.1:1"}, "c": {"http://127.0.0.1:2"}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Start(ctx, cfg)
		ended <- err
	}()
	g.eventually("its metrics are shown", func() error {
		body, code, err := fetch(watched.String() + "/metrics")
		if err != nil || code != http.StatusOK || !strings.Contains(body, "etcd_server_has_leader 0\n") {
			return fmt.Errorf("%d %v", code, err)
		}
		return nil
	})
	if body, code, err := fetch(watched.String() + "/livez"); err == nil && code == http.StatusOK {
		t.Logf("livez: %s", body)
	} else {
		t.Errorf("livez answers %d %s %v", code, body, err)
	}
	if body, code, err := fetch(watched.String() + "/health"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("health answers %d %s %v", code, body, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the start ended with %v", err)
	}
}

func fetch(url string) (body string, code int, err error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), resp.StatusCode, err
}
