//go:build debian

package compat

import (
	"os"
	"strings"
	"testing"
)

// TestDebianMixedCluster: etcd 3.4 ends at entries that members write since. So a member of ours that finds itself in one
// cluster with it ends by itself, before it writes them, and says why; those of 3.4 go on. With TLS and without.
func TestDebianMixedCluster(t *testing.T) {
	debian := debianProgram(t, "etcd", "BOWLINE_DEBIAN_ETCD")
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			m, ctx := newMixed(t, scheme, 3), limited(t)
			m.launch(1, debian)
			m.launch(2, debian)
			theirs := m.dial(1)
			putAgain(t, ctx, theirs, "k", "before")
			m.launch(0, server.Path(t))
			closed(t, ctx, m.ended[0])
			log, err := os.ReadFile(m.log(0))
			must(t, err)
			if !strings.Contains(string(log), "etcd up to 3.4 cannot be in one cluster with this release") || m.running[0].ProcessState.ExitCode() != 1 {
				t.Errorf("ours has ended with %v and does not say why", m.running[0].ProcessState)
			}
			putAgain(t, ctx, theirs, "k", "after")
			putAgain(t, ctx, m.dial(2), "k", "after")
		})
	}
}
