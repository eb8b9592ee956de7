package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asMain makes the test's own program behave as etcd.
const asMain = "BOWLINE_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command is etcd with these arguments, in an empty directory.
func command(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = t.TempDir()
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "ETCD_") && !strings.HasPrefix(e, "NOTIFY_SOCKET=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(append(cmd.Env, asMain+"=1"), environ...)
	return cmd
}

func TestExitCodes(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := "http://" + busy.Addr().String()
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		says    string
	}{
		{"version", nil, []string{"--version"}, 0, "etcd Version: 3.7.1\nGit SHA: "},
		{"help", nil, []string{"--help"}, 0, "--listen-client-urls"},
		{"an unknown flag", nil, []string{"--nope"}, 2, "flag provided but not defined: -nope"},
		{"a log that cannot be written", nil, []string{"--log-outputs=none/x"}, 1, `"error":"open sink \"none/x\": open none/x: no such file or directory"`},
		{"a bad value", nil, []string{"--heartbeat-interval=x"}, 2, `invalid value "x" for flag -heartbeat-interval`},
		{"a bad level", nil, []string{"--log-level=loud"}, 2, "loud"},
		{"an argument", nil, []string{"foo"}, 1, `\"foo\" is not a valid flag`},
		{"values that do not go together", nil, []string{"--heartbeat-interval=300", "--election-timeout=1000"}, 1,
			"should be at least as 5 times as"},
		{"a bad variable", []string{"ETCD_HEARTBEAT_INTERVAL=abc"}, nil, 1, "ETCD_HEARTBEAT_INTERVAL"},
		{"flag and variable", []string{"ETCD_NAME=a"}, []string{"--name=b"}, 1, "shadowed by corresponding command-line flag"},
		{"a busy port", nil, []string{"--listen-client-urls=" + taken, "--advertise-client-urls=" + taken,
			"--listen-peer-urls=http://127.0.0.1:0"}, 1, "address already in use"},
		{"a file in the way", nil, []string{"--data-dir=/dev/null/x", "--listen-client-urls=http://127.0.0.1:0",
			"--advertise-client-urls=http://127.0.0.1:1", "--listen-peer-urls=http://127.0.0.1:0"}, 1, "cannot access data directory"},
		{"the gateway without a command", nil, []string{"gateway"}, 0, "Use \"etcd gateway [command] --help\" for more"},
		{"the gateway's help", nil, []string{"gateway", "start", "--help"}, 0, "--retry-delay duration        duration of delay before retrying failed endpoints (default 1m0s)"},
		{"an unknown flag of the gateway", nil, []string{"gateway", "start", "--nope"}, 1, "unknown flag: --nope"},
		{"the proxy without a command", nil, []string{"grpc-proxy"}, 0, "start       start the grpc proxy"},
		{"the proxy's help", nil, []string{"grpc-proxy", "start", "--help"}, 0, "--max-concurrent-streams uint32           Maximum concurrent"},
		{"a wrong flag of the proxy", nil, []string{"grpc-proxy", "start", "--resolver-ttl=1"}, 1, "invalid resolver-prefix \"\""},
		{"the proxy's busy port", nil, []string{"grpc-proxy", "start", "--listen-addr=" + busy.Addr().String()}, 1, "address already in use"},
		{"the gateway's own endpoint", nil, []string{"gateway", "start", "--endpoints=127.0.0.1:23790"}, 1, "should not resolve to the gateway listen addr"},
	} {
		out, err := command(t, c.environ, c.args...).CombinedOutput()
		code := 0
		if exit, ok := err.(*exec.ExitError); ok {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: code %d, want %d with %q; it said\n%s", c.name, code, c.code, c.says, out)
		}
	}
}

// TestSignalsEndAMember: it stops in order, and then dies of the signal, so that
// whoever waits for it sees 143, or 130.
func TestSignalsEndAMember(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		const any, free = "http://127.0.0.1:0", "http://127.0.0.1:1"
		cmd := command(t, nil, "--listen-client-urls="+any, "--advertise-client-urls="+free, "--listen-peer-urls="+any,
			"--initial-advertise-peer-urls="+free, "--initial-cluster=default="+free)
		log, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		said := make(map[string]bool)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			for _, what := range []string{"successfully notified init daemon", "received signal; shutting down", "closed etcd server"} {
				said[what] = said[what] || strings.Contains(lines.Text(), what)
			}
			if strings.Contains(lines.Text(), "successfully notified init daemon") {
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // its state tells how it ended
		kill.Stop()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != signal {
			t.Errorf("%v: it ended with %v", signal, cmd.ProcessState)
		}
		if len(said) != 3 || !said["received signal; shutting down"] || !said["closed etcd server"] {
			t.Errorf("%v: it said %v", signal, said)
		}
		if _, err := os.Stat(filepath.Join(cmd.Dir, "default.etcd", "member", "FORMAT")); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
	}
}
