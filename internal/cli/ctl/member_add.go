package ctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"bowline/internal/cli"
)

// memberAdd is the command member add.
type memberAdd struct {
	peerURLs    string
	learner     bool
	autoPromote bool
}

func newMemberAdd(env *Env) *cobra.Command {
	o := &memberAdd{}
	cmd := &cobra.Command{Use: "add <memberName> [options]", Short: "Adds a member to the cluster", RunE: env.action(o)}
	cmd.Flags().StringVar(&o.peerURLs, "peer-urls", "", "peer URLs of the new member, separated by commas")
	cmd.Flags().BoolVar(&o.learner, "learner", false, "add the member as a learner, which does not vote")
	cmd.Flags().BoolVar(&o.autoPromote, "auto-promote", false, "let the cluster promote the learner when it has caught up")
	return cmd
}

func (o *memberAdd) run(ctx context.Context, env *Env, args []string) error {
	if len(args) == 0 {
		return cli.BadArgs("member name not provided")
	}
	if len(args) > 1 {
		return tooManyArguments(args)
	}
	if o.peerURLs == "" {
		return cli.BadArgs("member peer urls not provided")
	}
	if o.autoPromote && !o.learner {
		return cli.BadArgs("`--auto-promote` needs `--learner`: any other member votes at once")
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	added, err := s.addMember(ctx, s.Client, newcomer{
		name: args[0], peerURLs: strings.Split(o.peerURLs, ","), learner: o.learner, autoPromote: o.autoPromote,
	})
	if err != nil {
		return err
	}
	if o.autoPromote && !added.promotesItself {
		s.warnOfPromotion(args[0], added.resp.GetMember().GetID())
	}
	return s.Print(memberAddResult(added.resp, args[0], s.Hex))
}

// tooManyArguments guesses that a URL among them was to be a flag's.
func tooManyArguments(args []string) error {
	hint := ""
	for _, arg := range args {
		if strings.HasPrefix(arg, "http") {
			hint += ", did you mean --peer-urls=" + arg
		}
	}
	return cli.BadArgs("too many arguments%s", hint)
}

// newcomer is a member to be added.
type newcomer struct {
	name        string
	peerURLs    []string
	learner     bool
	autoPromote bool
}

// command is what one types to add it.
func (n newcomer) command() string {
	line := fmt.Sprintf("etcdctl member add %s --peer-urls=%s", n.name, strings.Join(n.peerURLs, ","))
	if n.learner {
		line += " --learner"
	}
	if n.autoPromote {
		line += " --auto-promote"
	}
	return line
}

// addedMember is the answer to a newcomer.
type addedMember struct {
	resp *pb.MemberAddResponse
	// promotesItself says that the cluster will do what autoPromote asks for.
	promotesItself bool
}

// autoPromoteKey is the metadata of a call that wants a learner to be promoted
// without another call, and of the answer of a server that will do it. The message
// has no field for it, and a server that does not know it adds a plain learner.
const autoPromoteKey = "bowline-auto-promote"

// addMember adds a member through a client, within the time of a short command.
func (s *session) addMember(ctx context.Context, client *clientv3.Client, n newcomer) (addedMember, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	remote := &headerKeeper{ClusterClient: clientv3.RetryClusterClient(client)}
	cluster := clientv3.NewClusterFromClusterClient(remote, client)
	add := cluster.MemberAdd
	if n.learner {
		add = cluster.MemberAddAsLearner
	}
	if n.autoPromote {
		ctx = metadata.AppendToOutgoingContext(ctx, autoPromoteKey, "1")
	}
	resp, err := add(ctx, n.peerURLs)
	if err != nil {
		return addedMember{}, err
	}
	known := remote.header.Get(autoPromoteKey)
	return addedMember{(*pb.MemberAddResponse)(resp), len(known) > 0 && known[0] == "1"}, nil
}

// warnOfPromotion tells that a wish was not understood, and what fulfils it.
func (s *session) warnOfPromotion(name string, id uint64) {
	fmt.Fprintf(s.env.Err, "Warning: this server does not promote learners by itself. "+
		"When %s runs and has caught up, type: etcdctl member promote %s\n", name, hexID(id))
}

// headerKeeper keeps what came with the answer to MemberAdd.
type headerKeeper struct {
	pb.ClusterClient
	header metadata.MD
}

func (k *headerKeeper) MemberAdd(ctx context.Context, req *pb.MemberAddRequest, opts ...grpc.CallOption) (*pb.MemberAddResponse, error) {
	return k.ClusterClient.MemberAdd(ctx, req, append(opts, grpc.Header(&k.header))...)
}

// memberAddResult shows the new member and, as text, the settings it has to be
// started with.
func memberAddResult(resp *pb.MemberAddResponse, name string, hex bool) cli.Result {
	var cluster []string
	for _, m := range resp.GetMembers() {
		memberName := m.Name
		if m.ID == resp.GetMember().GetID() {
			memberName = name
		}
		for _, url := range m.PeerURLs {
			cluster = append(cluster, memberName+"="+url)
		}
	}
	return cli.Result{
		JSON:  newMembersJSON(hex, resp.GetHeader(), resp.GetMember(), resp.GetMembers()),
		Proto: resp,
		Simple: func(w *cli.TextWriter) {
			how := "added"
			if resp.GetMember().GetIsLearner() {
				how = "added as learner"
			}
			w.Linef("Member %16x %s to cluster %16x", resp.GetMember().GetID(), how, resp.GetHeader().GetClusterId())
			w.Linef("")
			w.Linef("ETCD_NAME=%q", name)
			w.Linef("ETCD_INITIAL_CLUSTER=%q", strings.Join(cluster, ","))
			w.Linef("ETCD_INITIAL_ADVERTISE_PEER_URLS=%q", strings.Join(resp.GetMember().GetPeerURLs(), ","))
			w.Linef("ETCD_INITIAL_CLUSTER_STATE=%q", "existing")
		},
	}
}
