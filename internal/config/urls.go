package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// parseURLs reads URLs with commas between them, and returns them sorted and each
// once.
func parseURLs(s string) ([]url.URL, error) {
	var all []url.URL
	for word := range strings.SplitSeq(s, ",") {
		u, err := parseURL(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b url.URL) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(all, func(a, b url.URL) bool { return a.String() == b.String() }), nil
}

// ParseURLs reads URLs with commas between them, with the checks of the server's flags.
func ParseURLs(s string) ([]string, error) {
	all, err := parseURLs(s)
	words := make([]string, len(all))
	for i := range all {
		words[i] = all[i].String()
	}
	return words, err
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "https":
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return nil, fmt.Errorf(`URL address does not have the form "host:port": %s`, s)
		}
		if u.Path != "" {
			return nil, fmt.Errorf("URL must not contain a path: %s", s)
		}
	case "unix", "unixs":
	default:
		return nil, fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", s)
	}
	return u, nil
}

func joinURLs(all []url.URL) string {
	words := make([]string, len(all))
	for i := range all {
		words[i] = all[i].String()
	}
	return strings.Join(words, ",")
}

func isUnix(u *url.URL) bool   { return u.Scheme == "unix" || u.Scheme == "unixs" }
func isSecure(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "unixs" }

// checkBind wants an address of this machine, or localhost.
func checkBind(all []url.URL) error {
	return checkHosts(all, func(u *url.URL, host string) error {
		if host != "localhost" && net.ParseIP(withoutZone(host)) == nil {
			return fmt.Errorf("expected IP in URL for binding (%s)", u)
		}
		return nil
	})
}

func withoutZone(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return host
}

// checkHost wants a host that others can use.
func checkHost(all []url.URL) error {
	return checkHosts(all, func(u *url.URL, host string) error {
		if host == "" {
			return fmt.Errorf("unexpected empty host (%s)", u)
		}
		return nil
	})
}

// checkHosts checks the host of each URL that has one, which must have a port too.
func checkHosts(all []url.URL, check func(u *url.URL, host string) error) error {
	for i := range all {
		u := &all[i]
		if isUnix(u) {
			continue
		}
		host, _, err := net.SplitHostPort(u.Host)
		if err == nil {
			err = check(u, host)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// NamedMember is one entry of an initial cluster.
type NamedMember struct {
	Name string
	URLs []url.URL
}

// InitialMembers reads Cluster: the members in the order of their names, each with
// its sorted URLs. It is not part of the checks, because a member that has data
// ignores it.
func (b Bootstrap) InitialMembers() ([]NamedMember, error) {
	found := map[string]string{}
	var names []string
	for entry := range strings.SplitSeq(b.Cluster, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, address, _ := strings.Cut(entry, "=")
		if before, ok := found[name]; ok {
			found[name] = before + "," + address
			continue
		}
		names = append(names, name)
		found[name] = address
	}
	slices.Sort(names)
	members := make([]NamedMember, 0, len(names))
	for _, name := range names {
		all, err := parseURLs(found[name])
		if err != nil {
			return nil, fmt.Errorf("error setting up initial cluster: %w", err)
		}
		members = append(members, NamedMember{name, all})
	}
	return members, nil
}
