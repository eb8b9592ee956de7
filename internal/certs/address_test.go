package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
)

// fakeResolver knows the names of 127.0.0.1 and one of 192.0.2.7.
type fakeResolver struct{}

func (fakeResolver) LookupAddr(_ context.Context, address string) ([]string, error) {
	if address == "127.0.0.1" {
		return []string{"a.known.example.", "plain."}, nil
	}
	return nil, errors.New("no names")
}

func (fakeResolver) LookupHost(_ context.Context, host string) ([]string, error) {
	if host == "seven" {
		return []string{"192.0.2.1", "192.0.2.7"}, nil
	}
	return nil, errors.New("no such host")
}

func TestMatchAddress(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  string
		ips   []string
		names []string
		want  string
	}{
		{"no names at all", "192.0.2.9:1", nil, nil, ""},
		{"its address", "192.0.2.9:1", []string{"192.0.2.8", "192.0.2.9"}, nil, ""},
		{"its address, of the other kind", "[2001:db8::1]:1", []string{"2001:db8::1"}, nil, ""},
		{"another address", "192.0.2.9:1", []string{"192.0.2.8"}, nil, "not 192.0.2.9"},
		{"a name of the address", "127.0.0.1:1", nil, []string{"x", "plain"}, ""},
		{"a wildcard", "127.0.0.1:1", nil, []string{"*.known.example"}, ""},
		{"a wildcard of everything", "127.0.0.1:1", nil, []string{"*"}, "does not match"},
		{"a wildcard of a part of a name", "127.0.0.1:1", nil, []string{"*ain"}, "does not match"},
		{"a name that leads to the address", "192.0.2.7:1", nil, []string{"seven"}, ""},
		{"another address, but a right name", "192.0.2.7:1", []string{"192.0.2.8"}, []string{"seven"}, ""},
		{"nothing right", "192.0.2.9:1", []string{"192.0.2.8"}, []string{"seven", "x"}, `tls: "192.0.2.9" does not match any of DNSNames ["seven" "x"] (no such host)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := &x509.Certificate{DNSNames: c.names}
			for _, ip := range c.ips {
				cert.IPAddresses = append(cert.IPAddresses, net.ParseIP(ip))
			}
			from, err := net.ResolveTCPAddr("tcp", c.from)
			if err != nil {
				t.Fatal(err)
			}
			err = matchAddress(t.Context(), fakeResolver{}, cert, from)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
	unix := &net.UnixAddr{Net: "unix", Name: "@"}
	if err := matchAddress(t.Context(), fakeResolver{}, &x509.Certificate{DNSNames: []string{"x"}}, unix); err != nil {
		t.Errorf("a unix socket has no address to compare: %v", err)
	}
}
