package member

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"bowline/internal/config"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// tells finds lines of the log that have these texts, in this order, each a message and then
// what its fields begin with, as name=value.
func tells(t *testing.T, logs *observer.ObservedLogs, want ...string) {
	t.Helper()
	all := logs.TakeAll()
	var lines []string
	for _, l := range all {
		line := l.Message
		for _, f := range l.Context {
			line += fmt.Sprintf(" %s=%v", f.Key, l.ContextMap()[f.Key])
		}
		lines = append(lines, line)
	}
	rest := lines
	for _, w := range want {
		at := slices.IndexFunc(rest, func(l string) bool { return strings.HasPrefix(l, w) })
		if at < 0 {
			t.Fatalf("no line %q, at its place, among\n%s", w, strings.Join(lines, "\n"))
		}
		rest = rest[at+1:]
	}
}

func TestTheLifeOfAMemberIsTold(t *testing.T) {
	cfg := testConfig(t)
	cfg.QuotaBytes = 1 << 30
	core, logs := observer.New(zap.InfoLevel)
	cfg.Logger = zap.New(core)
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	id, cid := hex(m.id.memberID), hex(m.id.clusterID)
	who := fmt.Sprintf("local-member-id=%s cluster-id=%s", id, cid)
	whose := fmt.Sprintf("name=one data-dir=%s advertise-peer-urls=[http://127.0.0.1:1] advertise-client-urls=[http://127.0.0.1:2]", cfg.DataDir)
	serving := fmt.Sprintf("now serving peer/client/metrics local-member-id=%s initial-advertise-peer-urls=[http://127.0.0.1:1] "+
		"listen-peer-urls=[http://127.0.0.1:0] advertise-client-urls=[http://127.0.0.1:2] listen-client-urls=[http://127.0.0.1:0] listen-metrics-urls=[]", id)
	published := fmt.Sprintf("published local member to cluster through raft local-member-id=%s "+
		"local-member-attributes={Name:one ClientURLs:[http://127.0.0.1:2]} cluster-id=%s publish-timeout=5.2s", id, cid)
	end := []string{"closing etcd server " + whose,
		fmt.Sprintf("skipped leadership transfer for single voting member cluster local-member-id=%s current-leader-member-id=%s", id, id),
		"closed etcd server " + whose}
	quota := "enabled backend quota quota-name=v3-applier quota-size-bytes=1073741824 quota-size=1.1 GB"
	tells(t, logs, append([]string{"Initialize and start etcd server data-dir=" + cfg.DataDir + " dir-type=empty",
		"starting local member " + who, "added member cluster-id=" + cid, "starting etcd server local-member-id=" + id, quota,
		"raft.node: " + id + " elected leader " + id + " at term 2", published, "ready to serve client requests"}, end...)...)

	cfg.QuotaBytes, cfg.EnablePprof, cfg.ListenMetricsURLs, cfg.InitialCorruptCheck = -1, true, local(), true
	if m, err = Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	tells(t, logs, append([]string{"server has already been initialized data-dir=" + cfg.DataDir + " dir-type=member",
		fmt.Sprintf("restarting local member cluster-id=%s local-member-id=%s commit-index=", cid, id),
		"recovered/added member from store cluster-id=" + cid, "disabled backend quota quota-name=v3-applier quota-size-bytes=-1",
		"starting initial corruption check local-member-id=" + id + " timeout=5.2s", "initial corruption checking passed; no corruption",
		"serving metrics address=http://127.0.0.1:0", strings.Replace(serving, "metrics-urls=[]", "metrics-urls=[http://127.0.0.1:0]", 1), published,
		"pprof is enabled path=/debug/pprof"}, end...)...)
}

func TestAForcedStartIsTold(t *testing.T) {
	cfg := testConfig(t)
	for _, want := range []string{"starting local member", "forcing restart member cluster-id="} {
		core, logs := observer.New(zap.InfoLevel)
		cfg.Logger, cfg.ForceNewCluster = zap.New(core), true
		m, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Stop(); err != nil {
			t.Fatal(err)
		}
		tells(t, logs, want)
	}
}

func TestMaintenanceIsTold(t *testing.T) {
	cfg := testConfig(t)
	core, logs := observer.New(zap.InfoLevel)
	cfg.Logger = zap.New(core)
	m := startMember(t, cfg)
	logs.TakeAll()
	client := pb.NewMaintenanceClient(dial(t, m))
	stream, err := client.Snapshot(t.Context(), &pb.SnapshotRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, err := client.Defragment(t.Context(), &pb.DefragmentRequest{}); err != nil {
		t.Fatal(err)
	}
	tells(t, logs, "sending database snapshot to client total-bytes=", "sending database sha256 checksum to client total-bytes=",
		"successfully sent database snapshot to client total-bytes=", "starting defragment", "defragmenting current-db-size-bytes=",
		"finished defragmenting directory current-db-size-bytes=", "finished defragment")
}

func TestTheConfigurationIsTold(t *testing.T) {
	settings, _, err := config.Parse([]string{"--name=x", "--discovery-token=", "--max-request-bytes=7"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	settings.Discovery.User, settings.Discovery.Password = "anna:hush-hush", "hush-hush, too"
	core, logs := observer.New(zap.InfoLevel)
	LogConfig(zap.New(core), settings)
	got := logs.All()[0].ContextMap()
	for field, want := range map[string]any{"name": "x", "data-dir": "x.etcd", "heartbeat-interval": "100ms", "election-timeout": "1s",
		"initial-cluster-state": "new", "initial-cluster": "x=http://localhost:2380", "max-request-bytes": uint64(7), "pre-vote": true} {
		if fmt.Sprint(got[field]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
	if text := fmt.Sprint(got); strings.Contains(text, "hush-hush") || !strings.Contains(text, "anna") {
		t.Errorf("the password is shown: %s", text)
	}
}

// TestAFollowerTells has a follower log while members change, and as it stops.
func TestAFollowerTells(t *testing.T) {
	g := found(t, "a", "b", "c")
	name := "a"
	if g.leader() == name {
		name = "b"
	}
	core, logs := observer.New(zap.InfoLevel)
	cfg := g.configs[name]
	cfg.StrictReconfig = false // the others have only just been reached
	cfg.Logger = zap.New(core)
	g.configs[name] = cfg
	g.stop(name)
	g.start(name)
	g.put(name, "k")
	learner := []string{"http://127.0.0.1:3"}
	members := pb.NewClusterClient(dial(t, g.members[name]))
	added, err := members.MemberAdd(t.Context(), &pb.MemberAddRequest{PeerURLs: learner, IsLearner: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := members.MemberRemove(t.Context(), &pb.MemberRemoveRequest{ID: added.Member.ID}); err != nil {
		t.Fatal(err)
	}
	id := hex(g.members[name].id.memberID)
	g.stop(name)
	tells(t, logs, "starting remote peer remote-peer-id=", "started remote peer remote-peer-id=", "added remote peer",
		"published local member to cluster through raft", "added member cluster-id=",
		"applied a configuration change through raft local-member-id="+id+" raft-conf-change=ConfChangeAddLearnerNode raft-conf-change-node-id="+hex(added.Member.ID),
		"removed member cluster-id=", "applied a configuration change through raft", "closing etcd server",
		"skipped leadership transfer; local server is not leader local-member-id="+id+" current-leader-member-id=",
		"stopping remote peer remote-peer-id=", "stopped remote peer remote-peer-id=", "closed etcd server")
}

func TestCertificatesThatDoNotCountAreTold(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	c := config.Certificates{CertFile: "c", ClientCertAuth: true}
	u := []url.URL{{Scheme: "http", Host: "h:1"}, {Scheme: "https", Host: "h:2"}}
	warnOfPlain(zap.New(core), "client", u, &c)
	warnOfPlain(zap.New(core), "peer", u, &c)
	if n := logs.Len(); n != 4 {
		t.Errorf("%d lines", n)
	}
	tells(t, logs, "scheme is http or unix while key and cert files are present; ignoring key and cert files client-url=http://h:1",
		"scheme is http or unix while --client-cert-auth is enabled; ignoring client cert auth for this URL client-url=http://h:1",
		"scheme is HTTP while key and cert files are present; ignoring key and cert files peer-url=http://h:1",
		"scheme is HTTP while --peer-client-cert-auth is enabled; ignoring client cert auth for this URL peer-url=http://h:1")
}
