//go:build browser

package console

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a protobuf of fields: numbers and what they hold, a text, a number, or
// another message.
func message(fields ...any) (out []byte) {
	for i := 0; i < len(fields); i += 2 {
		n := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			out = protowire.AppendVarint(protowire.AppendTag(out, n, protowire.VarintType), uint64(v))
		case string:
			out = protowire.AppendString(protowire.AppendTag(out, n, protowire.BytesType), v)
		case []byte:
			out = protowire.AppendBytes(protowire.AppendTag(out, n, protowire.BytesType), v)
		}
	}
	return out
}

// object is what an API server stores for an object of a kind.
func object(version, kind string, raw []byte) string {
	return "k8s\x00" + string(message(1, message(1, version, 2, kind), 2, raw, 3, "", 4, ""))
}

func meta(name string, more ...any) []byte {
	return message(append([]any{1, name, 3, "default", 5, "0f3b6f0e-uid", 8, message(1, 1700000000),
		11, message(1, "app", 2, "web"), 11, message(1, "tier", 2, "front")}, more...)...)
}

func pod(name string) string {
	container := message(1, "web", 2, "example/web:1.2", 4, "--port=80", 6, message(1, "http", 3, 80, 4, "TCP"),
		7, message(1, "MODE", 2, "production"), 8, message(2, message(1, "cpu", 2, message(1, "250m"))))
	spec := message(2, container, 3, "Always", 10, "node-1", 99, "a field of the future")
	status := message(1, "Running", 2, message(1, "Ready", 2, "True", 4, message(1, 1700000100)), 6, "10.1.2.3")
	return object("v1", "Pod", message(1, meta(name, 13, message(1, "ReplicaSet", 3, "web-rs", 6, 1)), 2, spec, 3, status))
}

func secret(name, password string) string {
	applied := message(1, "kubectl.kubernetes.io/last-applied-configuration", 2, `{"password":"`+password+`"}`)
	return object("v1", "Secret", message(1, meta(name, 12, applied), 2, message(1, "password", 2, password), 3, "Opaque"))
}

// TestKubernetesObjects reads what an API server has written.
func TestKubernetesObjects(t *testing.T) {
	s := start(t)
	c := dial(t, s, "", "")
	endpoints := message(1, meta("web"), 2, message(1, message(1, "10.1.2.3", 4, "node-1"), 3, message(1, "http", 2, 80, 3, "TCP")))
	service := message(1, meta("web"), 2, message(1, message(1, "http", 2, "TCP", 3, 80, 4, message(1, 1, 3, "http")), 3, "10.96.0.1", 4, "ClusterIP"))
	custom := message(1, meta("mine"), 2, message(1, "deep text", 7, 42))
	put(t, c, "/pod", pod("web-0"), "/service", object("v1", "Service", service), "/endpoints", object("v1", "Endpoints", endpoints),
		"/custom", object("example.org/v1", "Widget", custom), "/torn", pod("web-0")[:60], "/empty", "k8s\x00", "/bomb", object("v1", "Other", bomb()))
	p := open(t, "http://"+s.Addr)
	for _, x := range []struct {
		key  string
		want []string
	}{
		{"/pod", []string{"apiVersion: v1", "kind: Pod", "name: web-0", "creationTimestamp: 2023-11-14T22:13:20Z", "app: web", "kind: ReplicaSet", "controller: true",
			"image: example/web:1.2", "containerPort: 80", "cpu: 250m", "nodeName: node-1", "99: a field of the future", "phase: Running", "podIP: 10.1.2.3"}},
		{"/service", []string{"kind: Service", "targetPort: http", "clusterIP: 10.96.0.1"}},
		{"/endpoints", []string{"ip: 10.1.2.3", "port: 80"}},
		{"/custom", []string{"apiVersion: example.org/v1", "kind: Widget", "name: mine", "1: deep text", "7: 42"}},
		{"/torn", []string{"this is no object"}},
		{"/empty", []string{"Kubernetes"}},
		{"/bomb", []string{"kind: Other"}},
	} {
		p.visit("#/keys?k=" + x.key)
		p.until(x.key, `document.querySelector('.title.key') && document.querySelector('.title.key').textContent === '`+x.key+`'`)
		for _, text := range x.want {
			p.until(x.key+" tells "+text, `document.querySelector('.tabs').innerText.replace(/\s+/g, ' ').includes(`+quote(text)+`)`)
		}
	}
}

// bomb is a message in a message, and so on.
func bomb() []byte {
	b := message(1, 1)
	for range 2000 {
		b = message(1, b)
	}
	return b
}

// TestSecretsWaitToBeAskedFor looks for a password in every form of a Secret.
func TestSecretsWaitToBeAskedFor(t *testing.T) {
	const password = "hunter2-hunter2"
	s := start(t)
	c := dial(t, s, "", "")
	put(t, c, "/proto", secret("token", "former-password"), "/proto", secret("token", password),
		"/json", `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x"},"data":{"password":"`+password+`"}}`)
	p := open(t, "http://"+s.Addr)
	hidden := func() {
		t.Helper()
		if text := eval[string](p, `document.body.innerText`); strings.Contains(text, password) {
			t.Errorf("the page shows it:\n%s", text)
		}
	}
	for key, form := range map[string]string{"/proto": "Kubernetes", "/json": "JSON"} {
		p.visit("#/keys?k=" + key)
		p.sees("This is a Secret")
		p.sees("••••••")
		hidden()
		p.click("Hex")
		p.sees("Hidden: it would show the secret.")
		hidden()
		p.click("History")
		p.sees("This version created the key.")
		hidden()
		p.click(form)
		p.click("Show secrets")
		p.sees(password)
		p.click("Hide")
		p.misses(password)
	}
	p.visit("#/watch?k=/proto")
	p.sees("Watching")
	put(t, c, "/proto", secret("token", password))
	p.sees("changed")
	hidden()
}
