package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"bowline/internal/testkit"
)

// namespaces give each member a network of its own behind a bridge, where clients
// are: partitions then lose packets, as real ones do. They need root, and ip and tc.
//
// A direction between two members is cut by telling the sender's namespace a wrong
// hardware address of the other: its packets reach nobody.
type namespaces struct {
	id    string // of this process, in all names
	net   string // the first three numbers of the addresses
	hosts map[string]int
}

func newNamespaces() (*namespaces, error) {
	pid := os.Getpid()
	n := &namespaces{id: fmt.Sprintf("bc%d", pid), net: fmt.Sprintf("10.253.%d", pid%250), hosts: map[string]int{}}
	if err := run("ip link add %s type bridge", n.id); err != nil {
		return nil, err
	}
	if err := errors.Join(run("ip addr add %s.1/24 dev %s", n.net, n.id), run("ip link set %s up", n.id)); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// run runs a command; words are separated by spaces.
func run(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	words := strings.Fields(line)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", line, err, out)
	}
	return nil
}

func (n *namespaces) space(name string) string { return n.id + name }
func (n *namespaces) link(name string) string  { return n.id + "-" + name } // the end at the bridge
func (n *namespaces) addr(name string) string  { return fmt.Sprintf("%s.%d", n.net, 10+n.hosts[name]) }

// Site implements testkit.Network.
func (n *namespaces) Site(name string, _ *testkit.Block) (testkit.Site, error) {
	n.hosts[name] = len(n.hosts)
	const most = 200
	if len(n.hosts) > most {
		return testkit.Site{}, errors.New("no address is left")
	}
	for _, line := range []string{
		"ip netns add SPACE",
		"ip link add LINK type veth peer name eth0 netns SPACE",
		"ip link set LINK master BRIDGE",
		"ip link set LINK up",
		"ip -n SPACE addr add ADDR/24 dev eth0",
		"ip -n SPACE link set eth0 up",
		"ip -n SPACE link set lo up",
	} {
		if err := run("%s", strings.NewReplacer("SPACE", n.space(name), "LINK", n.link(name), "BRIDGE", n.id, "ADDR", n.addr(name)).Replace(line)); err != nil {
			return testkit.Site{}, err
		}
	}
	peer := n.addr(name) + ":2380"
	return testkit.Site{Client: n.addr(name) + ":2379", Peer: peer, Reached: peer, Wrap: []string{"ip", "netns", "exec", n.space(name)}}, nil
}

// isolate implements network.
func (n *namespaces) isolate(_ context.Context, _ map[string]string, name string, others []string, in, out bool) error {
	const nobody = "02:00:00:00:00:01"
	mislead := func(from, to string) error {
		return run("ip -n %s neigh replace %s lladdr %s nud permanent dev eth0", n.space(from), n.addr(to), nobody)
	}
	for _, other := range others {
		if in {
			if err := mislead(other, name); err != nil {
				return err
			}
		}
		if out {
			if err := mislead(name, other); err != nil {
				return err
			}
		}
	}
	return nil
}

// slow implements network: 16 KiB to a member take this long. That holds for its
// clients too.
func (n *namespaces) slow(_ context.Context, name string, by time.Duration) error {
	const bits = 16 << 13
	return run("tc qdisc replace dev %s root tbf rate %dbit burst 16kb latency 400ms", n.link(name), int(bits/by.Seconds()))
}

// disturb implements network: the link is down for a moment, for clients too.
func (n *namespaces) disturb(name string) error {
	return errors.Join(run("ip link set %s down", n.link(name)), run("ip link set %s up", n.link(name)))
}

// heal implements network.
func (n *namespaces) heal(context.Context) error {
	var failures []error
	for name := range n.hosts {
		failures = append(failures,
			run("ip -n %s neigh flush all nud permanent", n.space(name)),
			run("tc qdisc replace dev %s root pfifo limit 1000", n.link(name)))
	}
	return errors.Join(failures...)
}

// close implements network. A namespace lives on while a process is in it.
func (n *namespaces) close() error {
	var failures []error
	for name := range n.hosts {
		failures = append(failures, run("ip link del %s", n.link(name)), run("ip netns del %s", n.space(name)))
	}
	return errors.Join(append(failures, run("ip link del %s", n.id))...)
}
