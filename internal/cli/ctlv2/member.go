package ctlv2

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

func memberCommands() command {
	return command{name: "member", usage: "list, add, remove and change members", parts: []command{
		{name: "list", usage: "list the members", run: memberList},
		{name: "add", args: "<name> <peerURL>", usage: "add a member", run: memberAdd},
		{name: "remove", args: "<memberID>", usage: "remove a member", run: memberRemove},
		{name: "update", args: "<memberID> <peerURLs>", usage: "change a member's peer URLs", run: memberUpdate},
	}}
}

func memberList(s *session, args []string) error {
	if len(args) > 0 {
		return bareText("No arguments accepted")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	list, err := c.members()
	if err != nil {
		return bare(err)
	}
	var leader member
	if err := c.json(http.MethodGet, "/v2/members/leader", nil, &leader); err != nil {
		return bareText("Failed to get leader:  " + err.Error())
	}
	for _, m := range list {
		if m.Name == "" {
			fmt.Fprintf(s.env.Out, "%s[unstarted]: peerURLs=%s\n", m.ID, joined(m.PeerURLs))
			continue
		}
		fmt.Fprintf(s.env.Out, "%s: name=%s peerURLs=%s clientURLs=%s isLeader=%t\n",
			m.ID, m.Name, joined(m.PeerURLs), joined(m.ClientURLs), m.ID == leader.ID)
	}
	return nil
}

type peerURLs struct {
	URLs []string `json:"peerURLs"`
}

func memberAdd(s *session, args []string) error {
	if len(args) != 2 {
		return bareText("Provide a name and a single member peerURL")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	var added member
	if err := c.json(http.MethodPost, "/v2/members", peerURLs{[]string{args[1]}}, &added); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "Added member named %s with ID %s to cluster\n", args[0], added.ID)
	list, err := c.members()
	if err != nil {
		return bare(err)
	}
	var cluster []string
	for _, m := range list {
		name := m.Name
		if m.ID == added.ID {
			name = args[0]
		}
		for _, u := range m.PeerURLs {
			cluster = append(cluster, name+"="+u)
		}
	}
	fmt.Fprintf(s.env.Out, "\nETCD_NAME=%q\nETCD_INITIAL_CLUSTER=%q\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n", args[0], joined(cluster))
	return nil
}

func memberRemove(s *session, args []string) error {
	if len(args) != 1 {
		return bareText("Provide a single member ID")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	list, err := c.members()
	if err != nil {
		return bare(err)
	}
	id := args[0]
	if !slices.ContainsFunc(list, func(m member) bool { return m.ID == id }) {
		for _, m := range list {
			if m.Name == id {
				fmt.Fprintf(s.env.Err, "Found a member named %s; if this is correct, please use its ID, eg:\n\tetcdctl member remove %s\n"+
					"For more details, read the documentation at %s\n\n", id, m.ID, removalGuide)
			}
		}
		return bareText(fmt.Sprintf("Couldn't find a member in the cluster with an ID of %s.", id))
	}
	if err := c.json(http.MethodDelete, "/v2/members/"+id, nil, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "Removed member %s from cluster\n", id)
	return nil
}

const removalGuide = "https://github.com/etcd-io/etcd/blob/master/Documentation/runtime-configuration.md#remove-a-member"

func memberUpdate(s *session, args []string) error {
	if len(args) != 2 {
		return bareText("Provide an ID and a list of comma separated peerURL (0xabcd http://example.com,http://example1.com)")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	if err := c.json(http.MethodPut, "/v2/members/"+args[0], peerURLs{strings.Split(args[1], ",")}, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "Updated member with ID %s in cluster\n", args[0])
	return nil
}

// checkPause is the time between two checks of cluster-health --forever.
const checkPause = 10 * time.Second

func clusterHealth(s *session, _ []string) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	ctx, stop := s.env.Interrupted(s.ctx)
	defer stop()
	for {
		err := s.checkHealth(c)
		if !s.options.on("forever") || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(s.env.Out, "\nnext check after %d second...\n\n", int(checkPause.Seconds()))
		select {
		case <-ctx.Done():
			return nil
		case <-s.env.After(checkPause):
		}
	}
}

func (s *session) checkHealth(c *client) error {
	list, err := c.members()
	if err != nil {
		fmt.Fprintln(s.env.Out, "cluster may be unhealthy: failed to list members")
		return &failure{exitServer, err, false}
	}
	healthy := 0
	for i := range list {
		if s.checkMember(c, &list[i]) {
			healthy++
		}
	}
	switch healthy {
	case len(list):
		fmt.Fprintln(s.env.Out, "cluster is healthy")
		return nil
	case 0:
		fmt.Fprintln(s.env.Out, "cluster is unavailable")
	default:
		fmt.Fprintln(s.env.Out, "cluster is degraded")
	}
	return &failure{code: exitClusterHealth}
}

func (s *session) checkMember(c *client, m *member) bool {
	if len(m.ClientURLs) == 0 {
		fmt.Fprintf(s.env.Out, "member %s is unreachable: no available published client urls\n", m.ID)
		return false
	}
	for _, u := range m.ClientURLs {
		healthy, err := s.askHealth(c, u)
		switch {
		case err != nil:
			fmt.Fprintf(s.env.Out, "failed to check the health of member %s on %s: %v\n", m.ID, u, err)
			continue
		case healthy:
			fmt.Fprintf(s.env.Out, "member %s is healthy: got healthy result from %s\n", m.ID, u)
		default:
			fmt.Fprintf(s.env.Out, "member %s is unhealthy: got unhealthy result from %s\n", m.ID, u)
		}
		return healthy
	}
	fmt.Fprintf(s.env.Out, "member %s is unreachable: %v are all unreachable\n", m.ID, m.ClientURLs)
	return false
}

func (s *session) askHealth(c *client, u string) (bool, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.duration("total-timeout", 5*time.Second))
	defer cancel()
	a, err := c.askOne(ctx, strings.TrimSuffix(u, "/"), http.MethodGet, "/health", "", "")
	if err != nil {
		return false, err
	}
	defer a.close()
	const most = 64 << 10
	b, err := io.ReadAll(io.LimitReader(a.Body, most))
	if err != nil {
		return false, err
	}
	var answer struct{ Health any }
	if err := json.Unmarshal(b, &answer); err != nil {
		return false, err
	}
	return fmt.Sprint(answer.Health) == "true", nil
}
