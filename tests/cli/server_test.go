package clitest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"bowline/internal/testkit"
)

// server is one member, or an extra server of a recording.
type server struct {
	name       string
	clientPort int
	peerPort   int
	dataDir    string
	argv       []string
	run        *run
	proc       *process
}

func (s *server) clientURL() string {
	return fmt.Sprintf("%s://127.0.0.1:%d", s.run.scheme(), s.clientPort)
}
func (s *server) peerURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.peerPort) }

// setArgs puts the server's command line together.
func (s *server) setArgs(cluster string, extra []string) error {
	if cluster == "" {
		cluster = s.name + "=" + s.peerURL()
	}
	s.argv = []string{
		programs.etcd, "--name", s.name, "--data-dir", s.dataDir,
		"--listen-client-urls", s.clientURL(), "--advertise-client-urls", s.clientURL(),
		"--listen-peer-urls", s.peerURL(), "--initial-advertise-peer-urls", s.peerURL(),
		"--initial-cluster", cluster, "--initial-cluster-token", "tkn", "--initial-cluster-state", "new",
	}
	if s.run.scenario.TLS != "" {
		s.argv = append(s.argv, "--cert-file", certs["server_cert"], "--key-file", certs["server_key"])
	}
	if s.run.scenario.TLS == "mutual" {
		s.argv = append(s.argv, "--trusted-ca-file", certs["cacert"], "--client-cert-auth")
	}
	for _, arg := range extra {
		arg, err := s.run.vars.subst(arg)
		if err != nil {
			return err
		}
		s.argv = append(s.argv, arg)
	}
	return nil
}

func (s *server) start() (err error) {
	s.proc, err = start(s.argv, testkit.CleanEnv(), s.run.dir, strings.NewReader(""))
	return err
}

// stop asks the server to end, as an operator would.
func (s *server) stop() {
	if s.proc == nil || s.proc.ended() {
		return
	}
	_ = s.proc.signal("TERM")
	if _, err := s.proc.wait(10 * time.Second); err != nil {
		s.proc.kill()
	}
}

// ready waits until the server is healthy and its cluster has a version.
func (s *server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	fetch := func(path string) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.clientURL()+path, nil)
		if err != nil {
			return ""
		}
		resp, err := s.run.http.Do(req)
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	healthy := false
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for ctx.Err() == nil {
		if s.proc.ended() {
			return fmt.Errorf("server %s has ended:\n%s", s.name, testkit.LastLines(s.proc.stderr.String(), 40))
		}
		healthy = healthy || strings.Contains(fetch("/health"), "true")
		if healthy {
			if v := fetch("/version"); v != "" && !strings.Contains(v, "not_decided") {
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
	if healthy {
		return nil // a member that waits for a majority has no version to tell
	}
	return fmt.Errorf("server %s does not become healthy:\n%s", s.name, testkit.LastLines(s.proc.stderr.String(), 10))
}
