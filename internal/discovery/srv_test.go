package discovery

import (
	"context"
	"net"
	"strings"
	"testing"

	"bowline/internal/testkit"
)

// resolverOf asks a name server on this machine, over the network.
func resolverOf(t *testing.T, services map[string][]net.SRV, hosts map[string][4]byte) *net.Resolver {
	t.Helper()
	names, err := testkit.NewNames()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(names.Close)
	for name, records := range services {
		names.Service(name, records...)
	}
	for name, address := range hosts {
		names.Host(name, address)
	}
	return names.Resolver()
}

func TestSRV(t *testing.T) {
	three := []net.SRV{{Target: "a.example", Port: 2380}, {Target: "b.example", Port: 2380}, {Target: "c.example", Port: 2380}}
	hosts := map[string][4]byte{"a.example": {10, 0, 0, 1}, "b.example": {10, 0, 0, 2}, "c.example": {10, 0, 0, 3}}
	const prefix = "error setting up initial cluster: "
	for _, c := range []struct {
		what, suffix, url string
		services          map[string][]net.SRV
		want, err         string
	}{
		{what: "plain", url: "http://b.example:2380", services: map[string][]net.SRV{"_etcd-server._tcp.example": three},
			want: "0=http://a.example:2380,me=http://b.example:2380,1=http://c.example:2380"},
		{what: "by address", url: "http://10.0.0.3:2380", services: map[string][]net.SRV{"_etcd-server._tcp.example": three},
			want: "0=http://a.example:2380,1=http://b.example:2380,me=http://c.example:2380"},
		{what: "secure", url: "https://a.example:2380", services: map[string][]net.SRV{"_etcd-server-ssl._tcp.example": three},
			want: "me=https://a.example:2380,0=https://b.example:2380,1=https://c.example:2380"},
		{what: "both", url: "http://c.example:2380",
			services: map[string][]net.SRV{"_etcd-server-ssl._tcp.example": three[:1], "_etcd-server._tcp.example": three[1:]},
			want:     "0=https://a.example:2380,1=http://b.example:2380,me=http://c.example:2380"},
		{what: "suffix", suffix: "blue", url: "http://a.example:2380",
			services: map[string][]net.SRV{"_etcd-server-blue._tcp.example": three[:1], "_etcd-server._tcp.example": three},
			want:     "me=http://a.example:2380"},
		{what: "other port", url: "http://a.example:2381", services: map[string][]net.SRV{"_etcd-server._tcp.example": three},
			err: prefix + `cannot find local etcd member "me" in SRV records`},
		{what: "other scheme", url: "https://a.example:2380", services: map[string][]net.SRV{"_etcd-server._tcp.example": three[:1]},
			err: "bootstrap at http://a.example:2380 from DNS for etcd-server has scheme mismatch with expected peer https://a.example:2380"},
		{what: "nothing", url: "http://a.example:2380",
			err: prefix + "error querying DNS SRV records for _etcd-server-ssl lookup _etcd-server-ssl._tcp.example"},
		{what: "a target unknown", url: "http://a.example:2380",
			services: map[string][]net.SRV{"_etcd-server._tcp.example": {{Target: "x.example", Port: 1}, three[0]}},
			want:     "me=http://a.example:2380"},
		{what: "own name unknown", url: "http://x.example:2380", services: map[string][]net.SRV{"_etcd-server._tcp.example": three},
			err: "lookup x.example"},
		{what: "too many", url: "http://a.example:2380",
			err: "are too many"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var r Resolver = resolverOf(t, c.services, hosts)
			if c.what == "too many" {
				r = crowded{r}
			}
			got, err := SRV(t.Context(), SRVConfig{Resolver: r, Domain: "example", Suffix: c.suffix, Name: "me", PeerURLs: []string{c.url}})
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// crowded has more records than fit into a datagram.
type crowded struct{ Resolver }

func (crowded) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", make([]*net.SRV, maxRecords+1), nil
}
