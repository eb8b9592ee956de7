package discovery

import (
	"strings"
	"testing"

	"bowline/internal/config"
)

// FuzzInitialCluster: whatever the members of a registry are said to be, it is a cluster
// that can be started, or refused.
func FuzzInitialCluster(f *testing.F) {
	f.Add("a=http://a:1", "b=http://b:1")
	f.Add("a=http://a:1,a=http://a:2", "=")
	f.Add("a", "b=http://%zz")
	f.Fuzz(func(t *testing.T, first, second string) {
		first, second = strings.TrimSpace(first), strings.TrimSpace(second)
		if !strings.Contains(first, "=") || !strings.Contains(second, "=") {
			return // an answer's entries without are left out
		}
		all, err := initialCluster([]registered{{key: "1", entry: first}, {key: "2", entry: second}})
		if err != nil {
			return
		}
		members, err := (config.Bootstrap{Cluster: all}).InitialMembers()
		if err != nil || len(members) == 0 {
			t.Errorf("%q: %v %v", all, members, err)
		}
	})
}
