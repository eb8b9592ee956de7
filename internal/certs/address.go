package certs

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Resolver is what names in certificates are looked up with; net.Resolver is one.
type Resolver interface {
	LookupAddr(ctx context.Context, address string) ([]string, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

func systemResolver() Resolver { return net.DefaultResolver }

// matchAddress compares a certificate's names with the address that its owner connects from: one of its IP addresses,
// or a DNS name that the address leads to, or that leads to it. Who names nothing may come from anywhere.
func matchAddress(ctx context.Context, r Resolver, c *x509.Certificate, from net.Addr) error {
	if len(c.IPAddresses) == 0 && len(c.DNSNames) == 0 || from.Network() == "unix" {
		return nil
	}
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		return err
	}
	if len(c.IPAddresses) > 0 {
		err := c.VerifyHostname(host)
		if err == nil || len(c.DNSNames) == 0 {
			return err
		}
	}
	found, err := leadsTo(ctx, r, host, c.DNSNames)
	switch {
	case found:
		return nil
	case err != nil:
		return fmt.Errorf("tls: %q does not match any of DNSNames %q (%w)", host, c.DNSNames, err)
	}
	return fmt.Errorf("tls: %q does not match any of DNSNames %q", host, c.DNSNames)
}

// leadsTo tells whether one of the names belongs to an address; err is what went wrong with the look-ups.
func leadsTo(ctx context.Context, r Resolver, host string, names []string) (found bool, err error) {
	owned, err := r.LookupAddr(ctx, host)
	for _, name := range owned {
		name = strings.TrimSuffix(name, ".")
		for _, n := range names {
			if tail, wild := strings.CutPrefix(n, "*"); n == name || wild && strings.HasPrefix(tail, ".") && strings.HasSuffix(name, tail) {
				return true, nil
			}
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, "*.") {
			continue
		}
		addresses, lookup := r.LookupHost(ctx, name)
		if slices.Contains(addresses, host) {
			return true, nil
		}
		if lookup != nil {
			err = lookup
		}
	}
	return false, err
}
