package ctl

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func newMember(env *Env) *cobra.Command {
	return newGroup("member", "Membership related commands",
		newMemberAdd(env),
		newMemberList(env),
		&cobra.Command{Use: "promote <memberID>", Short: "Makes a learner a voting member", RunE: env.action(memberPromote{})},
		// The aliases are prefixes that were unique before there was replace.
		&cobra.Command{Use: "remove <memberID>", Aliases: []string{"r", "re"}, Short: "Removes a member from the cluster", RunE: env.action(memberRemove{})},
		newMemberReplace(env),
		newMemberUpdate(env),
	)
}

// parseMember reads the ID of a member, the one argument of several commands.
func parseMember(args []string) (uint64, error) {
	if len(args) != 1 {
		return 0, cli.BadArgs("member ID is not provided")
	}
	id, err := strconv.ParseUint(args[0], 16, 64)
	if err != nil {
		return 0, cli.BadArgs("bad member ID arg (%w), expecting ID in Hex", err)
	}
	return id, nil
}

// memberList is the command member list.
type memberList struct {
	consistency string
}

func newMemberList(env *Env) *cobra.Command {
	o := &memberList{}
	cmd := &cobra.Command{Use: "list", Short: "Lists the members of the cluster", RunE: env.action(o)}
	cmd.Flags().StringVar(&o.consistency, "consistency", "l", "linearizable (l) or serializable (s)")
	registerCompletion(cmd, "consistency", []string{"l", "s"})
	return cmd
}

func (o *memberList) run(ctx context.Context, env *Env, _ []string) error {
	var opts []clientv3.OpOption
	switch o.consistency {
	case "s":
		opts = append(opts, clientv3.WithSerializable())
	case "l":
	default:
		return cli.Exitf(cli.ExitBadFeature, "unknown consistency flag %q", o.consistency)
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := s.MemberList(ctx, opts...)
	if err != nil {
		return err
	}
	return s.Print(memberListResult((*pb.MemberListResponse)(resp), s.Hex))
}

func memberListResult(resp *pb.MemberListResponse, hex bool) cli.Result {
	table := &cli.Table{Header: []string{"ID", "status", "name", "peer addrs", "client addrs", "is learner"}}
	for _, m := range resp.GetMembers() {
		status := "started"
		if m.Name == "" {
			status = "unstarted"
		}
		table.Rows = append(table.Rows, []string{
			hexID(m.ID), status, m.Name, strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ","), fmt.Sprint(m.IsLearner),
		})
	}
	return cli.Result{
		Table:  table,
		Simple: simpleRows(table),
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.GetHeader())
			for _, m := range resp.GetMembers() {
				writeMember(w, m)
			}
		},
		JSON:  newMembersJSON(hex, resp.GetHeader(), nil, resp.GetMembers()),
		Proto: resp,
	}
}

func writeMember(w *cli.FieldWriter, m *pb.Member) {
	w.ID("ID", m.ID)
	w.Quoted("Name", m.Name)
	for _, url := range m.PeerURLs {
		w.Quoted("PeerURL", url)
	}
	for _, url := range m.ClientURLs {
		w.Quoted("ClientURL", url)
	}
	w.Value("IsLearner", m.IsLearner)
	w.Blank()
}

// membersJSON is the JSON form of all answers about members. It is our own
// since --hex turns the IDs into strings.
type membersJSON struct {
	Header  headerJSON    `json:"header"`
	Member  *memberJSON   `json:"member,omitempty"`
	Members []*memberJSON `json:"members,omitempty"`
}

type headerJSON struct {
	ClusterID any    `json:"cluster_id,omitempty"`
	MemberID  any    `json:"member_id,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
	RaftTerm  uint64 `json:"raft_term,omitempty"`
}

type memberJSON struct {
	ID         any      `json:"ID,omitempty"`
	Name       string   `json:"name,omitempty"`
	PeerURLs   []string `json:"peerURLs,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
	IsLearner  bool     `json:"isLearner,omitempty"`
}

func newMembersJSON(hex bool, h *pb.ResponseHeader, added *pb.Member, members []*pb.Member) *membersJSON {
	id := func(id uint64) any {
		switch {
		case hex:
			return hexID(id)
		case id == 0:
			return nil
		}
		return id
	}
	member := func(m *pb.Member) *memberJSON {
		if m == nil {
			return nil
		}
		return &memberJSON{ID: id(m.ID), Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner}
	}
	j := &membersJSON{
		Header: headerJSON{
			ClusterID: id(h.GetClusterId()), MemberID: id(h.GetMemberId()),
			Revision: h.GetRevision(), RaftTerm: h.GetRaftTerm(),
		},
		Member: member(added),
	}
	for _, m := range members {
		j.Members = append(j.Members, member(m))
	}
	return j
}
