//go:build debian

package deploy

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"bowline/internal/testkit"
)

// image is a root file system as the Dockerfile makes it, assembled without an engine.
type image struct {
	root string
	env  []string
	dir  string
	cmd  string
}

// assemble carries out the Dockerfile for a target; "" is the last. built are the files of the
// stage that builds, base those of the image below.
func assemble(t *testing.T, dockerfile, target string, built func(path string) string, base map[string]string) *image {
	t.Helper()
	stages := map[string]*image{}
	var current *image
	for line := range strings.Lines(dockerfile) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if words[0] == "FROM" {
			if target != "" && current != nil && stages[target] == current {
				break
			}
			if len(words) > 2 && words[3] == "build" {
				current = nil
				continue
			}
			current = &image{root: t.TempDir(), dir: "/"}
			if words[1] != "scratch" {
				current.add(t, base)
			}
			if len(words) == 4 {
				stages[words[3]] = current
			}
			continue
		}
		if current != nil {
			current.step(t, words, stages, built)
		}
	}
	return current
}

func (i *image) step(t *testing.T, words []string, stages map[string]*image, built func(path string) string) {
	t.Helper()
	switch words[0] {
	case "COPY":
		from, what, to := strings.TrimPrefix(words[1], "--from="), words[2], words[3]
		if stage := stages[from]; stage != nil && what == "/" && to == "/" {
			if err := os.CopyFS(i.root, os.DirFS(stage.root)); err != nil {
				t.Fatal(err)
			}
			return
		}
		i.add(t, map[string]string{to: built(what)})
	case "WORKDIR":
		i.dir = words[1]
		if err := os.MkdirAll(filepath.Join(i.root, words[1]), 0o755); err != nil {
			t.Fatal(err)
		}
	case "ENV":
		i.env = append(i.env, words[1])
	case "CMD":
		i.cmd = strings.Trim(words[1], `[]"`)
	case "EXPOSE":
	default:
		t.Fatalf("the Dockerfile has a step %s that this test does not know", words[0])
	}
}

// add copies files of this machine to places of the image.
func (i *image) add(t *testing.T, files map[string]string) {
	t.Helper()
	for to, from := range files {
		to = filepath.Join(i.root, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := copyFile(to, from); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// command is a command in the image, as `kubectl exec` would start it.
func (i *image) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "chroot", append([]string{i.root}, args...)...)
	cmd.Env = i.env
	return cmd
}

// busyboxBase is what the default image is built on, from Debian's package.
func busyboxBase(t *testing.T) map[string]string {
	t.Helper()
	busybox := os.Getenv("BOWLINE_BUSYBOX")
	if busybox == "" {
		found, err := exec.LookPath("busybox")
		if err != nil {
			t.Fatal("this test needs Debian's busybox-static: in PATH, or named by BOWLINE_BUSYBOX")
		}
		busybox = found
	}
	base := map[string]string{}
	for _, applet := range []string{"sh", "ls", "cat", "wget"} {
		base["/bin/"+applet] = busybox
	}
	return base
}

// TestImagesDebian assembles both images, starts etcd in them, and runs in the default one
// the line that courses teach.
func TestImagesDebian(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test needs root, for chroot")
	}
	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", programs+"/", "bowline/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	authorities := filepath.Join(programs, "ca-certificates.crt")
	if err := os.WriteFile(authorities, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	built := func(file string) string { return filepath.Join(programs, path.Base(file)) }
	for _, target := range []string{"static", ""} {
		t.Run("target "+target, func(t *testing.T) {
			i := assemble(t, repositoryFile(t, "Dockerfile"), target, built, busyboxBase(t))
			i.serve(t, target == "")
		})
	}
}

// serve starts the image's command with TLS, writes with its etcdctl, and reads with the
// line of the courses if the image has a shell.
func (i *image) serve(t *testing.T, shell bool) {
	keys := t.TempDir()
	certificates(t, keys)
	files := map[string]string{}
	for _, name := range []string{"ca.crt", "server.crt", "server.key"} {
		files[pki+"/"+name] = filepath.Join(keys, name)
	}
	i.add(t, files)
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	client, metrics := "https://"+block.Addr(0), "http://"+block.Addr(2)
	server := i.command(t, i.cmd, "--data-dir", i.dir, "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", "http://"+block.Addr(1), "--initial-advertise-peer-urls", "http://"+block.Addr(1),
		"--initial-cluster", "default=http://"+block.Addr(1), "--listen-metrics-urls", metrics, "--client-cert-auth",
		"--cert-file", pki+"/server.crt", "--key-file", pki+"/server.key", "--trusted-ca-file", pki+"/ca.crt")
	ended, err := testkit.Start(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	var ready probe
	ready.HTTPGet.Host, ready.HTTPGet.Port, ready.HTTPGet.Scheme, ready.HTTPGet.Path = "127.0.0.1", block.First+2, "HTTP", "/readyz"
	if err := ready.answered(t.Context()); err != nil {
		t.Fatal(err)
	}
	tls := fmt.Sprintf("--cacert %s/ca.crt --cert %s/server.crt --key %s/server.key", pki, pki, pki)
	put := i.command(t, append([]string{"/usr/local/bin/etcdctl", "--endpoints", client, "put", "/registry/pods/default/web", "v"}, strings.Fields(tls)...)...)
	if out, err := put.CombinedOutput(); err != nil || string(out) != "OK\n" {
		t.Fatalf("put: %s, %v", out, err)
	}
	if !shell {
		return
	}
	course := i.command(t, "sh", "-c", "ETCDCTL_API=3 etcdctl get / --prefix --keys-only --limit=10 "+tls)
	course.Env = append(course.Env, "ETCDCTL_ENDPOINTS="+client)
	if out, err := course.CombinedOutput(); err != nil || string(out) != "/registry/pods/default/web\n\n" {
		t.Errorf("the line of the courses: %s, %v", out, err)
	}
}
