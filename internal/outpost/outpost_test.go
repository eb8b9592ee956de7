package outpost

import (
	"net"
	"slices"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/srv"
	"go.uber.org/zap"
)

func TestHostPort(t *testing.T) {
	for in, want := range map[string]string{
		"a:1": "a:1", "http://a:1": "a:1", "https://a:1/": "a:1", "https://[::1]:1/x": "[::1]:1", "a": "a", "": "",
	} {
		if got := HostPort(in); got != want {
			t.Errorf("%q is at %q, not %q", in, got, want)
		}
	}
}

// TestGoodEndpointsKeepTheirRecords: those that were not validated go, with their records.
func TestGoodEndpointsKeepTheirRecords(t *testing.T) {
	found := &srv.SRVClients{
		Endpoints: []string{"https://a:1", "https://b:2", "https://c:3"},
		SRVs:      []*net.SRV{{Target: "a", Port: 1}, {Target: "b", Port: 2}, {Target: "c", Port: 3}},
	}
	endpoints, records := keep(found, []string{"https://c:3", "https://a:1"})
	if !slices.Equal(endpoints, []string{"https://a:1", "https://c:3"}) || len(records) != 2 || records[0].Target != "a" || records[1].Target != "c" {
		t.Errorf("left are %v, %v", endpoints, records)
	}
	if endpoints, records, err := (Lookup{}).Find(zap.NewNop()); len(endpoints)+len(records) > 0 || err != nil {
		t.Errorf("without a domain: %v, %v, %v", endpoints, records, err)
	}
}
