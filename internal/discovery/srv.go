package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// srvTimeout bounds all look-ups of one call of SRV.
const srvTimeout = 30 * time.Second

// maxRecords is how many records of a service are looked at.
const maxRecords = 256

// Resolver is what SRV asks; net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
}

// SRVConfig is what SRV looks for. Logger may be nil.
type SRVConfig struct {
	Resolver Resolver
	// Domain holds the records, and Suffix is added to the names of their services.
	Domain, Suffix string
	// Name and PeerURLs are those of this member.
	Name     string
	PeerURLs []string
	Logger   *zap.Logger
}

// SRV returns the members that a domain names, as name=URL with commas between them.
// The record that leads to one of this member's URLs gets its name, the others get
// numbers: their names come with the members themselves. It fails if there are no
// usable records at all, or none for this member.
func SRV(ctx context.Context, cfg SRVConfig) (string, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	ctx, cancel := context.WithTimeout(ctx, srvTimeout)
	defer cancel()
	s := srv{SRVConfig: cfg, own: make(map[string]*url.URL)}
	var found []string
	var errs []error
	for _, kind := range []struct{ scheme, service string }{{"https", "etcd-server-ssl"}, {"http", "etcd-server"}} {
		service := kind.service
		if cfg.Suffix != "" {
			service += "-" + cfg.Suffix
		}
		entries, err := s.lookup(ctx, kind.scheme, service)
		if err != nil {
			errs = append(errs, fmt.Errorf("error querying DNS SRV records for _%s %w", service, err))
		}
		found = append(found, entries...)
		cfg.Logger.Info("get cluster for "+kind.service+" SRV", zap.String("service-scheme", kind.scheme), zap.String("service-name", service),
			zap.String("server-name", cfg.Name), zap.String("discovery-srv", cfg.Domain), zap.Strings("advertise-peer-urls", cfg.PeerURLs),
			zap.Strings("found-cluster", entries), zap.Error(err))
	}
	switch err := errors.Join(errs...); {
	case len(found) == 0 && err != nil:
		return "", fmt.Errorf("error setting up initial cluster: %w", err)
	case !s.present:
		return "", fmt.Errorf("error setting up initial cluster: cannot find local etcd member %q in SRV records", cfg.Name)
	case err != nil:
		cfg.Logger.Warn("failed to resolve during SRV discovery", zap.Error(err))
	}
	return strings.Join(found, ","), nil
}

// srv is one look for members.
type srv struct {
	SRVConfig
	own     map[string]*url.URL // by the addresses that they lead to
	present bool                // this member was found
	// others counts members with other names, those of both services together: etcd
	// begins anew for each, and makes one member of two that are number 0.
	others int
}

// lookup returns the members of one service. What is wrong with one record matters only
// if there is no other.
func (s *srv) lookup(ctx context.Context, scheme, service string) (entries []string, last error) {
	if err := s.resolveOwn(ctx); err != nil {
		return nil, err
	}
	_, records, err := s.Resolver.LookupSRV(ctx, service, "tcp", s.Domain)
	if err != nil {
		return nil, err
	}
	if len(records) > maxRecords {
		return nil, fmt.Errorf("%d records are too many", len(records))
	}
	for _, r := range records {
		entry, err := s.entry(ctx, r, scheme, service)
		if err != nil {
			last = err
			continue
		}
		entries = append(entries, entry)
	}
	if len(entries) > 0 {
		last = nil
	}
	return entries, last
}

// entry is the member that a record leads to.
func (s *srv) entry(ctx context.Context, r *net.SRV, scheme, service string) (string, error) {
	port := strconv.Itoa(int(r.Port))
	places, err := s.places(ctx, r.Target, port)
	if err != nil {
		return "", err
	}
	at := scheme + "://" + net.JoinHostPort(strings.TrimSuffix(r.Target, "."), port)
	for _, place := range places {
		own := s.own[place]
		if own == nil {
			continue
		}
		if own.Scheme != scheme {
			return "", fmt.Errorf("bootstrap at %s from DNS for %s has scheme mismatch with expected peer %s", at, service, own)
		}
		s.present = true
		return s.Name + "=" + at, nil
	}
	s.others++
	return strconv.Itoa(s.others-1) + "=" + at, nil
}

func (s *srv) resolveOwn(ctx context.Context) error {
	if len(s.own) > 0 {
		return nil
	}
	for _, text := range s.PeerURLs {
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		places, err := s.places(ctx, u.Hostname(), u.Port())
		if err != nil {
			return err
		}
		for _, place := range places {
			s.own[place] = u
		}
	}
	return nil
}

// places are the addresses of a host, each with the port.
func (s *srv) places(ctx context.Context, host, port string) ([]string, error) {
	addresses, err := s.Resolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	places := make([]string, len(addresses))
	for i := range addresses {
		places[i] = net.JoinHostPort(addresses[i].String(), port)
	}
	return places, nil
}
