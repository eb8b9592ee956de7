package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"bowline/internal/cluster"
	"bowline/internal/config"
	"bowline/internal/discovery"
)

// DiscoveryError is why a discovery service did not tell the members.
type DiscoveryError struct {
	Token     string
	Endpoints []string
	Err       error
}

// Error implements error.
func (e *DiscoveryError) Error() string {
	return fmt.Sprintf("failed to join discovery cluster (%v)", e.Err)
}

// Unwrap returns the cause.
func (e *DiscoveryError) Unwrap() error { return e.Err }

// discovers tells whether a discovery service names the first members.
func (c *Config) discovers() bool { return len(c.Discovery.Endpoints) > 0 }

// discover finds the initial cluster if the flags do not hold it.
func (m *Member) discover(ctx context.Context) error {
	var found string
	var err error
	switch {
	case m.cfg.discovers() && m.cfg.JoinExisting:
		return errors.New("discovery URL should not be set when joining existing initial cluster")
	case m.cfg.discovers():
		found, err = m.askService(ctx)
	case m.cfg.SRV != "":
		found, err = discovery.SRV(ctx, discovery.SRVConfig{
			Resolver: net.DefaultResolver, Domain: m.cfg.SRV, Suffix: m.cfg.SRVName,
			Name: m.cfg.Name, PeerURLs: m.cfg.AdvertisePeerURLs, Logger: m.log,
		})
	default:
		return nil
	}
	if err != nil {
		return err
	}
	members, err := config.Bootstrap{Cluster: found}.InitialMembers()
	if err != nil {
		return err
	}
	m.cfg.InitialCluster = byName(members)
	return nil
}

// askService registers with the discovery service, and waits for the others.
func (m *Member) askService(ctx context.Context) (string, error) {
	m.log.Info("Bootstrapping cluster using v3 discovery.")
	m.cfg.InitialToken = m.cfg.Discovery.Token
	urls := slices.Clone(m.cfg.AdvertisePeerURLs)
	slices.Sort(urls)
	found, err := discovery.Join(ctx, discovery.JoinConfig{
		Service: m.cfg.Discovery, ID: cluster.MemberID(urls, m.cfg.InitialToken), Entry: cluster.NameEach(m.cfg.Name, urls), Logger: m.log,
	})
	if err != nil {
		return "", &DiscoveryError{m.cfg.Discovery.Token, m.cfg.Discovery.Endpoints, err}
	}
	return found, nil
}

func byName(members []config.NamedMember) map[string][]string {
	initial := make(map[string][]string)
	for _, m := range members {
		initial[m.Name] = append(initial[m.Name], texts(m.URLs)...)
	}
	return initial
}
