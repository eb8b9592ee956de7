//go:build browser

package console

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// TestAMemberDiesAndComesBack looks at three members while one of them dies.
func TestAMemberDiesAndComesBack(t *testing.T) {
	c, err := testkit.StartCluster(etcd.Path(t), t.TempDir(), 3, &ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// The page is served by a follower, and the leader dies: everything changes.
	server := c.Members[0]
	if server == leader {
		server = c.Members[1]
	}
	p := open(t, "http://"+server.Addr)
	state := func(m *testkit.Server) string {
		return fmt.Sprintf(`(document.evaluate("//tr[th[starts-with(., '%s')]]", document, null, 9).singleNodeValue || {dataset: {}}).dataset.state`, m.Name)
	}
	for _, m := range c.Members {
		p.until(m.Name+" is healthy", state(m)+" === 'healthy'")
	}
	p.sees("3 / 3")
	p.shoot("healthy")
	if err := leader.Crash(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.until(leader.Name+" is dead", state(leader)+" === 'dead'")
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("its death was seen after %s", took)
	}
	p.sees("2 / 3")
	p.until("another leader", fmt.Sprintf(`[...document.querySelectorAll('.tile dd')][0].textContent.match(/^m\d$/) && [...document.querySelectorAll('.tile dd')][0].textContent !== '%s'`, leader.Name))
	p.shoot("dead")
	if err := leader.Restart(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	p.until(leader.Name+" is back", state(leader)+" === 'healthy'")
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("its return was seen after %s", took)
	}
	p.until("its return is announced", fmt.Sprintf(`document.getElementById('live').textContent === '%s: healthy'`, leader.Name))
	p.sees("3 / 3")

	for _, m := range c.Members {
		if m != server {
			if err := m.Crash(); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.until("no leader", `[...document.querySelectorAll('.tile dd')][0].textContent === 'none'`)
	p.sees("etcdserver: no leader")
	p.shoot("without-a-majority")
	var again sync.WaitGroup // one of them alone would wait for the other
	for _, m := range c.Members {
		if m != server {
			again.Go(func() {
				if err := m.Restart(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	again.Wait()
	p.sees("3 / 3")
}
