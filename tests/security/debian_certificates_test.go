//go:build debian

package security

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bowline/internal/testkit"
)

// TestDebianCertificates: the commands of docs/certificates.md do what it says, in
// their order. The ports are the only thing that differs.
func TestDebianCertificates(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "certificates.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := &tlsRig{T: t, dir: t.TempDir()}
	block, err := tlsPorts.Take()
	r.must(err)
	t.Cleanup(block.Release)
	t.Setenv("PATH", filepath.Dir(etcdProgram.Path(t))+":"+filepath.Dir(etcdctlProgram.Path(t))+":"+os.Getenv("PATH"))
	ported := strings.NewReplacer("127.0.0.1:2379", block.Addr(0), "127.0.0.1:2380", block.Addr(1)).Replace(string(page))
	shell := func(script string) (string, error) {
		cmd := exec.Command("bash", "-euc", script)
		cmd.Dir, cmd.Env = r.dir, append(testkit.CleanEnv(), "ETCDCTL_ENDPOINTS=https://"+block.Addr(0), "ETCDCTL_COMMAND_TIMEOUT=3s")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	scripts := regexp.MustCompile("(?s)```(sh)?\n(.*?)```").FindAllStringSubmatch(ported, -1)
	var line string
	for _, s := range scripts {
		if s[1] == "sh" {
			out, err := shell(s[2])
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, s[2], out)
			}
			continue
		}
		server, client, found := strings.Cut(s[2], "\n\n")
		if !found || line != "" {
			t.Fatalf("not a server and a client: %s", s[2])
		}
		line = strings.TrimSpace(client)
		m := &tlsMember{name: "m1", log: filepath.Join(r.dir, "log")}
		r.launchLine(m, server)
		r.waitLog(m, "serving client traffic securely")
		if out, err := shell("etcdctl put /registry/a 1 --cacert pki/ca.crt --cert pki/client.crt --key pki/client.key"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if out, err := shell(line); err != nil || out != "/registry/a\n\n" {
			t.Fatalf("%s: %q, %v", line, out, err)
		}
	}
	if out, err := shell(line); err == nil || !strings.Contains(out, "bad certificate") {
		t.Errorf("after it was revoked: %q, %v", out, err)
	}
}

// launchLine starts a member by a line of a shell, in the rig's directory.
func (r *tlsRig) launchLine(m *tlsMember, line string) {
	r.Helper()
	log, err := os.Create(m.log)
	r.must(err)
	defer log.Close()
	cmd := exec.Command("bash", "-euc", "exec "+line)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, testkit.CleanEnv(), log, log
	ended, err := testkit.Start(cmd)
	r.must(err)
	r.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if r.Failed() {
			r.Logf("%s", testkit.LastLines(r.logOf(m), 15))
		}
	})
}
