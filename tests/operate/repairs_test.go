package operate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

var (
	etcd    = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	etcdctl = testkit.Program{Name: "etcdctl", Variable: "BOWLINE_ETCDCTL"}
	etcdutl = testkit.Program{Name: "etcdutl", Variable: "BOWLINE_ETCDUTL"}
	ports   testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, &etcd, &etcdctl, &etcdutl) }

// patience is how long a step may take.
const patience = 40 * time.Second

// TestRepairs runs the scripts.
func TestRepairs(t *testing.T) {
	bin := t.TempDir()
	for _, p := range []*testkit.Program{&etcd, &etcdctl, &etcdutl} {
		if err := os.Symlink(p.Path(t), filepath.Join(bin, p.Name)); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return setUp(env, bin) },
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start": start, "destroy": destroy, "crash": crash, "retry": retry, "bind": bind, "fill": fill, "agree": agree,
		},
	})
}

// members are the processes of a script, by name.
type members map[string]*process

type process struct {
	cmd   *exec.Cmd
	ended <-chan struct{}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// key is where a script's environment has its members.
type key struct{}

func setUp(env *testscript.Env, bin string) error {
	block, err := ports.Take()
	if err != nil {
		return err
	}
	const sites = 7
	for i := range sites {
		env.Setenv(fmt.Sprintf("C%d", i), block.Addr(i))
		env.Setenv(fmt.Sprintf("P%d", i), block.Addr(sites+i))
	}
	env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
	running := members{}
	env.Values[key{}] = running
	env.Defer(func() {
		for _, p := range running {
			p.kill()
		}
		block.Release()
	})
	return nil
}

func want(ts *testscript.TestScript, neg bool, fine bool, usage string) {
	if neg || !fine {
		ts.Fatalf("usage: %s", usage)
	}
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) > 2 && args[1] == "etcd", "start NAME etcd flags...")
	log, err := os.OpenFile(ts.MkAbs(args[0]+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	program, err := exec.LookPath(filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(os.PathListSeparator), 2)[0], args[1]))
	ts.Check(err)
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), testkit.CleanEnv(), log, log
	ended, err := testkit.Start(cmd)
	ts.Check(err)
	ts.Value(key{}).(members)[args[0]] = &process{cmd, ended}
}

func crash(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 1, "crash NAME")
	p := ts.Value(key{}).(members)[args[0]]
	if p == nil {
		ts.Fatalf("nothing was started as %s", args[0])
	}
	p.kill()
}

func destroy(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 2, "destroy NAME DIR")
	crash(ts, false, args[:1])
	ts.Check(os.RemoveAll(ts.MkAbs(args[1])))
}

// eventually repeats what fails.
func eventually(ts *testscript.TestScript, try func() error) {
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for began := time.Now(); ; <-poll.C {
		err := try()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			for name := range ts.Value(key{}).(members) {
				ts.Logf("%s:\n%s", name, testkit.LastLines(ts.ReadFile(name+".log"), 10))
			}
			ts.Fatalf("not in %v: %v", patience, err)
		}
	}
}

func retry(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) > 1, "retry program args...")
	eventually(ts, func() error { return ts.Exec(args[0], args[1:]...) })
}

func bind(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 2, "bind VAR REGEXP")
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("no one group of %q in:\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found[1])
}

func fill(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 2, "fill ENDPOINT N")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	client, err := clientv3.New(clientv3.Config{Endpoints: args[:1], Logger: zap.NewNop()})
	ts.Check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i := range n {
		_, err := client.Put(ctx, fmt.Sprintf("fill/%06d", i), strings.Repeat("v", i%300))
		ts.Check(err)
	}
}

// agree compares the hashes that etcdctl prints.
func agree(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 2, "agree N ENDPOINTS")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	eventually(ts, func() error {
		if err := ts.Exec("etcdctl", "--endpoints="+args[1], "endpoint", "hashkv"); err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
		if len(lines) != n {
			return fmt.Errorf("%d answers, want %d:\n%s", len(lines), n, ts.ReadFile("stdout"))
		}
		for _, line := range lines {
			_, hash, _ := strings.Cut(line, ", ")
			if _, first, _ := strings.Cut(lines[0], ", "); hash != first || hash == "" {
				return fmt.Errorf("members differ:\n%s", ts.ReadFile("stdout"))
			}
		}
		return nil
	})
}
