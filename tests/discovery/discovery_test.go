package discovery

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"bowline/internal/cli/ctl"
	"bowline/internal/gateway"
	"bowline/internal/outpost"
	"bowline/internal/proxy"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

// start runs an outpost until the test ends and returns its address, or what it said when it ended by itself.
func start(t *testing.T, command func(*outpost.Env) *cobra.Command, args ...string) (addr, said string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = free.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	var out bytes.Buffer
	env := &outpost.Env{Context: ctx, Stdout: &out, Stderr: &out, Ready: func(*zap.Logger) { close(ready) }}
	cmd := command(env)
	cmd.SetArgs(append([]string{"start", "--listen-addr", addr}, args...))
	go func() {
		defer close(ended)
		_ = cmd.Execute() // errors of the command line, which is the test's
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-ready:
		return addr, ""
	case <-ended:
		return "", out.String()
	case <-time.After(patience):
		t.Fatal("it is not ready")
		return "", ""
	}
}

// TestGateway: what DNS names is what clients are led to; without --insecure-discovery only endpoints with TLS are, and
// else those of --endpoints.
func TestGateway(t *testing.T) {
	r := rigOf()
	secure := r.trust(t)
	for name, c := range map[string]struct {
		args []string
		tls  *tls.Config
		want string
		said string
	}{
		"plain":             {[]string{"--discovery-srv=plain.test", "--insecure-discovery"}, nil, "http", ""},
		"plain and refused": {[]string{"--discovery-srv=plain.test", "--endpoints=" + r.secure.Clients[0].Addr().String()}, secure, "https", ""},
		"secure":            {[]string{"--discovery-srv=secure.test", "--trusted-ca-file=" + r.authority.File}, secure, "https", ""},
		"secure as it is":   {[]string{"--discovery-srv=secure.test", "--insecure-discovery"}, secure, "https", ""},
		"the secure of two": {[]string{"--discovery-srv=both.test"}, secure, "https", ""},
		"by a name":         {[]string{"--discovery-srv=secure.test", "--discovery-srv-name=blue"}, secure, "https", ""},
		"nobody there": {[]string{"--discovery-srv=secure.test", "--discovery-srv-name=green", "--endpoints=" + r.plain.Clients[0].Addr().String()},
			nil, "http", ""},
		"no authority": {[]string{"--discovery-srv=secure.test", "--trusted-ca-file=" + r.dir + "/none", "--endpoints=" + r.plain.Clients[0].Addr().String()},
			nil, "http", ""},
		"no such name":   {[]string{"--discovery-srv=secure.test", "--discovery-srv-name=red"}, nil, "", "dns lookup errors: lookup _etcd-client-ssl-red._tcp.secure.test"},
		"no such domain": {[]string{"--discovery-srv=nope.test"}, nil, "", "dns lookup errors: lookup _etcd-client-ssl._tcp.nope.test"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, said := start(t, gateway.Command, c.args...)
			if !strings.Contains(said, c.said) || (said == "") != (c.said == "") {
				t.Fatalf("it says %q, not %q", said, c.said)
			}
			if c.said != "" {
				return
			}
			if kind, err := kindAt(t, addr, c.tls); err != nil || kind != c.want {
				t.Errorf("it leads to the member with %q (%v), not %q", kind, err, c.want)
			}
		})
	}
}

// TestProxy: it is a client of what DNS names, and verifies the members' certificates for the hosts of the records.
func TestProxy(t *testing.T) {
	r := rigOf()
	ca := "--cacert=" + r.authority.File
	for name, c := range map[string]struct {
		args []string
		want string
		said string
	}{
		"plain":             {[]string{"--discovery-srv=plain.test", "--insecure-discovery"}, "http", ""},
		"plain and refused": {[]string{"--discovery-srv=plain.test", "--endpoints=https://m.secure.test:" + port(r.secure.Clients[0]), ca}, "https", ""},
		"secure":            {[]string{"--discovery-srv=secure.test", ca}, "https", ""},
		"secure as it is":   {[]string{"--discovery-srv=secure.test", "--insecure-discovery", ca}, "https", ""},
		"the secure of two": {[]string{"--discovery-srv=both.test", ca}, "https", ""},
		"by a name":         {[]string{"--discovery-srv=secure.test", "--discovery-srv-name=blue", ca}, "https", ""},
		"no such name":      {[]string{"--discovery-srv=secure.test", "--discovery-srv-name=red"}, "", "dns lookup errors: lookup _etcd-client-ssl-red._tcp.secure.test"},
		"no such domain":    {[]string{"--discovery-srv=nope.test"}, "", "dns lookup errors: lookup _etcd-client-ssl._tcp.nope.test"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, said := start(t, proxy.Command, c.args...)
			if !strings.Contains(said, c.said) || (said == "") != (c.said == "") {
				t.Fatalf("it says %q, not %q", said, c.said)
			}
			if c.said != "" {
				return
			}
			if kind, err := kindAt(t, addr, nil); err != nil || kind != c.want {
				t.Errorf("it is in front of the member with %q (%v), not %q", kind, err, c.want)
			}
		})
	}
}

func port(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		panic(err)
	}
	return port
}

// TestEtcdctl: with --insecure-discovery=false members must have a certificate for the domain, otherwise for the hosts
// of the records.
func TestEtcdctl(t *testing.T) {
	ca := "--cacert=" + rigOf().authority.File
	for name, c := range map[string]struct {
		args         []string
		code         int
		stdout, said string
	}{
		"plain":               {[]string{"--discovery-srv=plain.test"}, 0, "http", ""},
		"plain and refused":   {[]string{"--discovery-srv=plain.test", "--insecure-discovery=false"}, 2, "", "ignoring discovered insecure endpoint \"http://m.plain.test:"},
		"secure":              {[]string{"--discovery-srv=secure.test", "--insecure-discovery=false", ca}, 0, "https", ""},
		"secure, by its host": {[]string{"--discovery-srv=secure.test", ca}, 0, "https", ""},
		"by a name":           {[]string{"--discovery-srv=secure.test", "--discovery-srv-name=blue", "--insecure-discovery=false", ca}, 0, "https", ""},
		"another's certificate": {[]string{"--discovery-srv=both.test", "--insecure-discovery=false", "--command-timeout=300ms", "--debug", ca}, 1, "",
			"certificate is valid for secure.test, m.secure.test, not both.test"},
		"an unknown authority": {[]string{"--discovery-srv=secure.test", "--command-timeout=300ms", "--debug", "--insecure-discovery=false"}, 1, "",
			"certificate signed by unknown authority"},
		"unverified":     {[]string{"--discovery-srv=both.test", "--insecure-discovery=false", "--insecure-skip-tls-verify"}, 0, "https", "ignoring discovered insecure"},
		"no such domain": {[]string{"--discovery-srv=nope.test"}, 1, "", "dns lookup errors: lookup _etcd-client-ssl._tcp.nope.test"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, said locked
			env := ctl.OSEnv()
			env.Out, env.Err, env.Environ = &out, &said, nil
			code := ctl.Run(t.Context(), env, append([]string{"get", "kind", "--print-value-only"}, c.args...))
			if code != c.code || strings.TrimSpace(out.String()) != c.stdout || !strings.Contains(said.String(), c.said) {
				t.Errorf("exit %d, stdout %q, stderr %.2000q", code, out.String(), said.String())
			}
		})
	}
}
