package clitest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// run is a recording being replayed: its servers, values and processes.
type run struct {
	scenario *scenario
	dir      string // of this run; commands work in dir/work
	vars     *vars
	http     *http.Client
	port     int
	members  []*server
	extra    map[string]*server
	spawned  map[string]*process
}

func newRun(s *scenario, dir string, port int) (*run, error) {
	r := &run{scenario: s, dir: dir, vars: newVars(), port: port, extra: map[string]*server{}, spawned: map[string]*process{}}
	if err := os.Mkdir(filepath.Join(dir, "work"), 0o700); err != nil {
		return nil, err
	}
	client, err := r.httpClient()
	if err != nil {
		return nil, err
	}
	r.http = client

	text := r.vars.text
	text["dir"] = filepath.Join(dir, "work")
	text["new_peer_url"] = fmt.Sprintf("http://127.0.0.1:%d", port+17)
	text["new_peer_url_2"] = fmt.Sprintf("http://127.0.0.1:%d", port+18)
	text["dead_endpoint"] = fmt.Sprintf("127.0.0.1:%d", port+19)
	for name, file := range certs {
		text[name] = file
	}
	members := 1
	if s.Servers != nil {
		members = *s.Servers
	}
	for i := range members {
		m := &server{
			run: r, name: fmt.Sprintf("m%d", i+1), clientPort: port + 2*i, peerPort: port + 2*i + 1,
			dataDir: filepath.Join(dir, fmt.Sprintf("m%d", i+1)),
		}
		r.members = append(r.members, m)
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf("_%d", i+1)
		}
		r.nameServer(m, suffix)
		text["data_dir"+suffix] = m.dataDir
	}
	for _, id := range s.Reserve {
		r.reserve(id)
	}
	return r, nil
}

// nameServer makes a server's addresses known to the recording.
func (r *run) nameServer(s *server, suffix string) {
	r.vars.text["endpoint"+suffix] = fmt.Sprintf("127.0.0.1:%d", s.clientPort)
	r.vars.text["client_url"+suffix] = s.clientURL()
	r.vars.text["peer_url"+suffix] = s.peerURL()
}

// reserve fixes the addresses of an extra server before it is started.
func (r *run) reserve(id string) *server {
	if s, known := r.extra[id]; known {
		return s
	}
	port := r.port + 8 + 2*len(r.extra)
	s := &server{run: r, clientPort: port, peerPort: port + 1}
	r.extra[id] = s
	r.nameServer(s, "_"+id)
	return s
}

func (r *run) scheme() string {
	if r.scenario.TLS != "" {
		return "https"
	}
	return "http"
}

func (r *run) httpClient() (*http.Client, error) {
	client := &http.Client{Timeout: 2 * time.Second}
	if r.scenario.TLS == "" {
		return client, nil
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(certs["cacert"])
	if err != nil {
		return nil, err
	}
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(certs["cert"], certs["key"])
	if err != nil {
		return nil, err
	}
	client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	return client, nil
}

// startMembers starts the cluster and waits for it.
func (r *run) startMembers() error {
	var cluster []string
	for _, m := range r.members {
		cluster = append(cluster, m.name+"="+m.peerURL())
	}
	for _, m := range r.members {
		if err := m.setArgs(strings.Join(cluster, ","), r.scenario.ServerArgs); err != nil {
			return err
		}
		if err := m.start(); err != nil {
			return err
		}
	}
	for _, m := range r.members {
		if err := m.ready(); err != nil {
			return err
		}
	}
	return nil
}

// close ends everything that still runs.
func (r *run) close() {
	for _, p := range r.spawned {
		if !p.ended() {
			p.kill()
		}
	}
	for _, s := range r.members {
		s.stop()
	}
	for _, s := range r.extra {
		s.stop()
	}
	r.http.CloseIdleConnections()
}

// replay performs all steps. A command that fails its expectations does not end
// the run; a step that could not be performed at all does.
func (r *run) replay(t *testing.T) {
	for i := range r.scenario.Steps {
		s := &r.scenario.Steps[i]
		if i > 0 && r.scenario.Steps[i-1].Sleep > 0 && s.addsMember() {
			// Of the second in which it is added a member's id is made: a recording that adds
			// one twice did so within one, which a step that comes late in it might leave.
			now := time.Now()
			sleep(now.Truncate(time.Second).Add(time.Second).Sub(now).Seconds())
		}
		out, err := r.do(s)
		if err != nil {
			t.Errorf("step %d: %s\n%v", i+1, s.title(), err)
			if s.Cmd == nil || s.Spawn != "" {
				return
			}
			continue
		}
		if out == nil {
			continue
		}
		for _, problem := range r.vars.compare(&s.expectations, out) {
			t.Errorf("step %d: %s\n%s", i+1, s.title(), problem)
		}
	}
}

// do performs one step, and returns the output of those that have one to
// compare.
func (r *run) do(s *step) (*output, error) {
	switch {
	case s.Spawn != "":
		return nil, r.spawn(s)
	case s.Cmd != nil:
		return r.command(s)
	case s.Expect != "":
		return nil, r.expect(s)
	case s.Feed != "":
		return nil, r.feed(s)
	case s.Finish != "":
		return r.finish(s)
	case s.WriteFile != "":
		return nil, r.writeFile(s)
	case s.CheckFile != "":
		return nil, r.checkFile(s)
	case s.Remove != "":
		path, err := r.vars.subst(s.Remove)
		return nil, errors.Join(err, os.RemoveAll(path))
	case s.StopServer != nil:
		target, err := r.findServer(s.StopServer)
		if err == nil {
			target.stop()
		}
		return nil, err
	case s.StartServer != nil:
		return nil, r.startServer(s.StartServer)
	case s.WaitServer != "":
		return nil, r.reserve(s.WaitServer).ready()
	}
	sleep(s.Sleep)
	return nil, nil
}

func sleep(seconds float64) { time.Sleep(time.Duration(seconds * float64(time.Second))) }

// argv and environment of a step's command.
func (r *run) argv(s *step) ([]string, error) {
	argv := make([]string, len(s.Cmd))
	for i, arg := range s.Cmd {
		var err error
		if argv[i], err = r.vars.subst(arg); err != nil {
			return nil, err
		}
	}
	switch argv[0] {
	case "etcd":
		argv[0] = programs.etcd
	case "etcdctl":
		argv[0] = programs.etcdctl
	case "etcdutl":
		argv[0] = programs.etcdutl
		if argv[0] == "" {
			return nil, errors.New("there is no etcdutl to run")
		}
	}
	return argv, nil
}

func (r *run) env(s *step) ([]string, error) {
	set := map[string]*string{}
	for _, source := range []map[string]*string{r.scenario.Env, s.Env} {
		for name, value := range source {
			set[name] = value
		}
	}
	env := testkit.CleanEnv()
	for name, value := range set {
		if value == nil {
			continue
		}
		text, err := r.vars.subst(*value)
		if err != nil {
			return nil, err
		}
		env = append(env, name+"="+text)
	}
	return env, nil
}

func (r *run) prepare(s *step) (argv, env []string, err error) {
	if argv, err = r.argv(s); err != nil {
		return nil, nil, err
	}
	env, err = r.env(s)
	return argv, env, err
}

// command runs a command to its end.
func (r *run) command(s *step) (*output, error) {
	argv, env, err := r.prepare(s)
	if err != nil {
		return nil, err
	}
	timeout := 60 * time.Second
	if s.Timeout > 0 {
		timeout = time.Duration(s.Timeout * float64(time.Second))
	}
	dir := r.vars.text["dir"]
	if s.StdinTTY != nil {
		lines := make([]string, len(s.StdinTTY))
		for i, line := range s.StdinTTY {
			if lines[i], err = r.vars.subst(line); err != nil {
				return nil, err
			}
		}
		return runOnTerminal(argv, env, dir, lines, timeout)
	}
	input, err := r.stdin(s)
	if err != nil {
		return nil, err
	}
	p, err := start(argv, env, dir, strings.NewReader(input))
	if err != nil {
		return nil, err
	}
	return p.wait(timeout)
}

func (r *run) stdin(s *step) (string, error) {
	if len(s.StdinRepeat) == 2 {
		var text string
		var times int
		err := errors.Join(json.Unmarshal(s.StdinRepeat[0], &text), json.Unmarshal(s.StdinRepeat[1], &times))
		return strings.Repeat(text, times), err
	}
	if s.Stdin == nil {
		return "", nil
	}
	return r.vars.subst(*s.Stdin)
}

func (r *run) spawn(s *step) error {
	argv, env, err := r.prepare(s)
	if err != nil {
		return err
	}
	p, err := start(argv, env, r.vars.text["dir"], nil)
	if err != nil {
		return err
	}
	r.spawned[s.Spawn] = p
	sleep(s.Delay)
	return nil
}

// expect waits until a background command has written what it should.
func (r *run) expect(s *step) error {
	p := r.spawned[s.Expect]
	limit := 10 * time.Second
	if s.Timeout > 0 {
		limit = time.Duration(s.Timeout * float64(time.Second))
	}
	poll, late := time.NewTicker(20*time.Millisecond), time.NewTimer(limit)
	defer poll.Stop()
	defer late.Stop()
	for {
		ok, err := r.vars.match(*s.Stdout, p.stdout.String(), true)
		if ok || err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-late.C:
			return fmt.Errorf("stdout: expected\n%s\ngot\n%s\nstderr:\n%s", *s.Stdout, p.stdout.String(), p.stderr.String())
		}
	}
}

func (r *run) feed(s *step) error {
	p := r.spawned[s.Feed]
	input, err := r.stdin(s)
	if err != nil {
		return err
	}
	if _, err := p.stdin.Write([]byte(input)); err != nil {
		return err
	}
	if s.EOF {
		if err := p.stdin.Close(); err != nil {
			return err
		}
	}
	sleep(s.Delay)
	return nil
}

func (r *run) finish(s *step) (*output, error) {
	p := r.spawned[s.Finish]
	if s.Signal != "" {
		if err := p.signal(s.Signal); err != nil {
			return nil, err
		}
	}
	limit := 20 * time.Second
	if s.Timeout > 0 {
		limit = time.Duration(s.Timeout * float64(time.Second))
	}
	return p.wait(limit)
}

func (r *run) writeFile(s *step) error {
	path, err := r.vars.subst(s.WriteFile)
	if err != nil {
		return err
	}
	content, err := r.vars.subst(s.Content)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}

func (r *run) checkFile(s *step) error {
	path, err := r.vars.subst(s.CheckFile)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	wanted := s.Exists == nil || *s.Exists
	switch {
	case (err == nil) != wanted:
		return fmt.Errorf("exists: expected %t, got %t", wanted, err == nil)
	case err == nil && info.Size() < s.MinSize:
		return fmt.Errorf("%d bytes are too few", info.Size())
	}
	return nil
}

// findServer finds a member by its index, or an extra server by its ID.
func (r *run) findServer(raw json.RawMessage) (*server, error) {
	var index int
	if json.Unmarshal(raw, &index) == nil {
		return r.members[index], nil
	}
	var id string
	if err := json.Unmarshal(raw, &id); err != nil {
		return nil, err
	}
	return r.reserve(id), nil
}

// startServer starts a server again, or an extra one for the first time.
func (r *run) startServer(raw json.RawMessage) error {
	if raw[0] != '{' {
		s, err := r.findServer(raw)
		if err != nil {
			return err
		}
		return errors.Join(s.start(), s.ready())
	}
	var x extraServer
	if err := json.Unmarshal(raw, &x); err != nil {
		return err
	}
	s := r.reserve(x.ID)
	s.name = x.Name
	if s.name == "" {
		s.name = "default"
	}
	var err error
	if s.dataDir, err = r.vars.subst(x.DataDir); err != nil {
		return err
	}
	cluster, err := r.vars.subst(x.Cluster)
	if err != nil {
		return err
	}
	if err := s.setArgs(cluster, x.Args); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	if x.Ready != nil && !*x.Ready {
		return nil
	}
	return s.ready()
}
