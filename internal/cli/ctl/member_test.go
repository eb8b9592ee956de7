package ctl

import (
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func TestMemberAddPromotingItself(t *testing.T) {
	const warning = "Warning: this server does not promote learners by itself. When n runs and has caught up, type: etcdctl member promote 63\n"
	for _, c := range []struct {
		args     string
		promotes bool
		code     int
		stderr   string
		wished   []string
	}{
		{"member add n --peer-urls=http://n:1", true, 0, "", []string{"[]"}},
		{"member add n --peer-urls=http://n:1 --learner", true, 0, "", []string{"[]"}},
		{"member add n --peer-urls=http://n:1 --learner --auto-promote", true, 0, "", []string{"[1]"}},
		{"member add n --peer-urls=http://n:1 --learner --auto-promote", false, 0, warning, []string{"[1]"}},
		{"member add n --peer-urls=http://n:1 --auto-promote", true, 128, "Error: `--auto-promote` needs `--learner`: any other member votes at once\n", nil},
	} {
		cluster := startFakeCluster(t, 1)
		cluster.promotes = c.promotes
		b, code := cluster.run(t, []uint64{1}, strings.Fields(c.args)...)
		if code != c.code || b.err.String() != c.stderr || !slices.Equal(cluster.wished, c.wished) {
			t.Errorf("%s: exit %d, wished %v, stderr %s", c.args, code, cluster.wished, b.err.String())
		}
		if code == 0 && !strings.Contains(b.out.String(), `ETCD_INITIAL_CLUSTER="m1=http://peer1:2380,n=http://n:1"`) {
			t.Errorf("%s: %s", c.args, b.out.String())
		}
	}
}

func TestMemberReplace(t *testing.T) {
	const replace = "member replace 3 n --peer-urls=http://n:1"
	for _, c := range []struct {
		name    string
		size    int
		silent  []uint64
		learner uint64
		refuse  map[string]error
		args    string
		code    int
		calls   string
		stderr  []string // parts
	}{
		{name: "down", size: 3, silent: []uint64{3}, args: replace, calls: "remove add",
			stderr: []string{"Member 3 (m3) does not answer: ", "Removed member 3 (m3)", "Added n to the cluster as learner 63", "It will be promoted"}},
		{name: "a plain learner", size: 3, silent: []uint64{3}, args: replace + " --auto-promote=false", calls: "remove add",
			stderr: []string{"When it runs and has caught up, type: etcdctl member promote 63"}},
		{name: "its own address", size: 3, silent: []uint64{3}, args: "member replace 3 n --peer-urls=http://peer3:2380", calls: "remove add"},
		{name: "alive", size: 3, args: replace, code: 1,
			stderr: []string{"member 3 (m3) is alive", "\tetcdctl member add n --peer-urls=http://n:1 --learner --auto-promote\n", "\tetcdctl member remove 3\n", "Nothing was changed"}},
		{name: "alive and forced", size: 3, args: replace + " --force", calls: "add remove", stderr: []string{"is replaced all the same"}},
		{name: "alive and forced, its own address", size: 3, args: "member replace 3 n --peer-urls=http://peer3:2380 --force", calls: "remove add"},
		{name: "alive, forced, a learner", size: 3, learner: 3, args: replace + " --force", calls: "remove add"},
		{name: "unknown", size: 3, args: "member replace 77 n --peer-urls=http://n:1", code: 1, stderr: []string{"etcdserver: member not found: no 77"}},
		{name: "the only one", size: 1, args: "member replace 1 n --peer-urls=http://n:1 --force", code: 1, stderr: []string{"is the only voter"}},
		{name: "another's address", size: 3, silent: []uint64{3}, args: "member replace 3 n --peer-urls=http://n:1,http://peer2:2380 --force", code: 1,
			stderr: []string{"http://peer2:2380 is an address of member 2 (m2)"}},
		{name: "two of three down", size: 3, silent: []uint64{2, 3}, args: replace + " --force", code: 1, stderr: []string{"only 1 of the 2 voters besides member 3 (m3) serve, 2 are needed"}},
		{name: "two of five down", size: 5, silent: []uint64{3, 5}, args: replace, code: 1, stderr: []string{"member 5 (m5) does not serve", "use --force"}},
		{name: "two of five down, forced", size: 5, silent: []uint64{3, 5}, args: replace + " --force", calls: "remove add"},
		{name: "one does not read", size: 3, silent: []uint64{3}, refuse: map[string]error{"read 2": rpctypes.ErrGRPCCorrupt}, args: replace, code: 1,
			stderr: []string{"only 1 of the 2", "member 2 (m2) does not serve: etcdserver: corrupt cluster"}},
		{name: "may not read", size: 3, silent: []uint64{3}, refuse: map[string]error{"read 2": rpctypes.ErrGRPCPermissionDenied}, args: replace, calls: "remove add"},
		{name: "a learner is there", size: 4, silent: []uint64{3}, learner: 4, args: replace, code: 1, stderr: []string{"there is a learner already"}},
		{name: "a learner is there, forced", size: 4, silent: []uint64{3}, learner: 4, args: replace + " --force", calls: "remove add"},
		{name: "not removed", size: 3, silent: []uint64{3}, refuse: map[string]error{"remove": rpctypes.ErrGRPCUnhealthy}, args: replace, code: 1, calls: "remove",
			stderr: []string{"removing member 3 (m3): etcdserver: unhealthy cluster\nNothing was changed, unless"}},
		{name: "removed, not added", size: 3, silent: []uint64{3}, refuse: map[string]error{"add": rpctypes.ErrGRPCTooManyLearners}, args: replace, code: 1, calls: "remove add",
			stderr: []string{"member 3 (m3) has been removed, but adding n: etcdserver: too many learner", "\tetcdctl member add n --peer-urls=http://n:1 --learner --auto-promote\n"}},
		{name: "forced, not added", size: 3, refuse: map[string]error{"add": rpctypes.ErrGRPCTooManyLearners}, args: replace + " --force", code: 1, calls: "add",
			stderr: []string{"Nothing was changed, unless `etcdctl member list` shows http://n:1"}},
		{name: "forced, added, not removed", size: 3, refuse: map[string]error{"remove": rpctypes.ErrGRPCUnhealthy}, args: replace + " --force", code: 1, calls: "add remove",
			stderr: []string{"n has been added as learner 63, but removing member 3 (m3): etcdserver: unhealthy", "\tetcdctl member remove 3\n", "\tetcdctl member remove 63\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they wait for members that do not answer
			cluster := startFakeCluster(t, c.size)
			cluster.promotes = true
			for _, id := range c.silent {
				cluster.silence(t, id)
			}
			if c.learner != 0 {
				cluster.members[c.learner-1].IsLearner = true
			}
			for call, err := range c.refuse {
				cluster.refuse[call] = err
			}
			b, code := cluster.run(t, []uint64{1}, strings.Fields(c.args)...)
			if calls := strings.Join(cluster.calls, " "); code != c.code || calls != c.calls {
				t.Errorf("exit %d, calls %q, stderr:\n%s", code, calls, b.err.String())
			}
			for _, part := range c.stderr {
				if !strings.Contains(b.err.String(), part) {
					t.Errorf("stderr lacks %q:\n%s", part, b.err.String())
				}
			}
			if out := b.out.String(); code == 0 && (!strings.Contains(out, ",n=http://") || strings.Contains(out, "m3=")) {
				t.Errorf("the settings of the new member are wrong:\n%s", out)
			}
			if code != 0 && b.out.Len() > 0 {
				t.Errorf("stdout of a failure: %s", b.out.String())
			}
		})
	}
}

func TestMemberReplaceArguments(t *testing.T) {
	for args, want := range map[string]string{
		"":                         "member ID is not provided",
		"zz n":                     "bad member ID arg",
		"3":                        "member name not provided",
		"3 n":                      "member peer urls not provided",
		"3 n http://a --peer-urls": "flag needs an argument",
		"3 n http://a":             "too many arguments, did you mean --peer-urls=http://a",
	} {
		b := newBench(t)
		if code := b.run("", append([]string{"member", "replace"}, strings.Fields(args)...)...); code == 0 || !strings.Contains(b.err.String(), want) {
			t.Errorf("%s: exit %d, %s", args, code, b.err.String())
		}
	}
}

func TestShortFormsOfRemoveStay(t *testing.T) {
	for _, word := range []string{"r", "re", "rem"} {
		b := newBench(t)
		if code := b.run("", "member", word, "zz"); code != 128 || !strings.Contains(b.err.String(), "bad member ID arg") {
			t.Errorf("member %s: exit %d, %s", word, code, b.err.String())
		}
	}
}

func TestMoveLeaderFindsTheLeaderPastADeadEndpoint(t *testing.T) {
	cluster := startFakeCluster(t, 3)
	cluster.silence(t, 1)
	b, code := cluster.run(t, []uint64{1, 3, 2}, "move-leader", "3")
	if code != 0 || b.out.String() != "Leadership transferred from 2 to 3\n" || b.err.Len() > 0 {
		t.Errorf("exit %d, %q, %s", code, b.out.String(), b.err.String())
	}
	if _, code := cluster.run(t, []uint64{3}, "move-leader", "3"); code != 128 {
		t.Errorf("without the leader among the endpoints: exit %d", code)
	}
	if _, code := cluster.run(t, []uint64{1, 3}, "move-leader", "3"); code != 1 {
		t.Errorf("with an endpoint that is down: exit %d", code)
	}
}
