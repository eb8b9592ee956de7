package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// clocks is a network whose members run with failpoints, one of which makes their
// clocks jump.
type clocks struct {
	network
	at    map[string]string // where a member's failpoints are served
	wrong map[string]bool   // whose clocks are not at the true time

	mu     sync.Mutex // guards the fields below
	moving bool
	moved  time.Time // when a clock last jumped
}

// withClocks builds the program with failpoints, and gives the members of a network
// clocks that can jump.
func withClocks(t *testing.T, inner network) (program string, _ *clocks) {
	t.Helper()
	dir := t.TempDir()
	if err := testkit.BuildFailpoints(dir, etcd.Name); err != nil {
		t.Fatal(err)
	}
	return dir + "/" + etcd.Name, &clocks{network: inner, at: map[string]string{}, wrong: map[string]bool{}}
}

// Site implements testkit.Network.
func (c *clocks) Site(name string, block *testkit.Block) (testkit.Site, error) {
	site, err := c.network.Site(name, block)
	if err != nil {
		return site, err
	}
	host, _, err := net.SplitHostPort(site.Client)
	if err != nil {
		return site, err
	}
	_, port, err := net.SplitHostPort(block.Addr(3))
	if err != nil {
		return site, err
	}
	c.at[name] = net.JoinHostPort(host, port)
	site.Wrap = append(site.Wrap, "sh", "-c", fmt.Sprintf(`GOFAIL_HTTP=%s exec "$0" "$@"`, c.at[name]))
	return site, nil
}

// set puts a member's clock ahead of the true time, or behind it if by is negative.
func (c *clocks) set(ctx context.Context, name string, by time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.move(true)
	defer c.move(false)
	c.wrong[name] = by != 0
	body := fmt.Sprintf("return(%d)", by.Milliseconds())
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+c.at[name]+"/memberClock", strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("the clock of %s: %s", name, resp.Status)
	}
	return nil
}

func (c *clocks) move(begins bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moving, c.moved = begins, time.Now()
}

// jumpedSince tells whether a clock has jumped after a moment, or may be about to. What
// a lease was worth before that, nobody can say. A nil c has no clocks that jump.
func (c *clocks) jumpedSince(t time.Time) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moving || c.moved.After(t)
}

// heal implements network: clocks jump back to the true time.
func (c *clocks) heal(ctx context.Context) error {
	var failures []error
	for name, wrong := range c.wrong {
		if wrong {
			failures = append(failures, c.set(ctx, name, 0))
		}
	}
	return errors.Join(append(failures, c.network.heal(ctx))...)
}

// clockJumps makes a member's clock jump to and fro.
func clockJumps(ctx context.Context, w *world, m *testkit.Server) error {
	c := w.network.(*clocks)
	for _, most := range []time.Duration{time.Minute, 24 * time.Hour} {
		by := w.between(-most, most)
		w.did("    by %v", by)
		if err := c.set(ctx, m.Name, by); err != nil {
			return err
		}
		if err := w.pause(ctx, w.between(500*time.Millisecond, 3*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// clockDeeds are drawn from where the clocks can jump.
var clockDeeds = []deed{
	to("a jump of the leader's clock", leads, clockJumps),
	to("a jump of a member's clock", anyone, clockJumps),
}
