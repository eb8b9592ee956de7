package console_test

import (
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"bowline/internal/member"
)

func get(r *http.Request) { r.Method = http.MethodGet }

// TestThePageIsServed asks for every file, and looks into it for addresses of others.
func TestThePageIsServed(t *testing.T) {
	r := start(t)
	resp, body := r.send("/console/", nil, get)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "main.js") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"} {
		if !strings.Contains(resp.Header.Get("Content-Security-Policy"), want) {
			t.Errorf("the policy lacks %s: %v", want, resp.Header)
		}
	}
	files, err := fs.ReadDir(os.DirFS("assets"), ".")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	address := regexp.MustCompile(`(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`)
	for _, f := range files {
		resp, body := r.send("/console/"+f.Name(), nil, get)
		kind := map[string]string{"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[f.Name()[strings.LastIndex(f.Name(), ".")+1:]]
		if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", f.Name(), resp.StatusCode, resp.Header)
		}
		for _, found := range address.FindAllString(string(body), -1) {
			if found != "http://www.w3.org" { // the name of a language
				t.Errorf("%s names %s", f.Name(), found)
			}
		}
		again, _ := r.send("/console/"+f.Name(), nil, get, func(req *http.Request) { req.Header.Set("If-None-Match", resp.Header.Get("ETag")) })
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: %d although it is known", f.Name(), again.StatusCode)
		}
	}
	for path, want := range map[string]int{"/console/none.js": 404, "/console/../health": 200, "/console/assets/main.js": 404, "/console/%2e%2e/console.go": 404} {
		if resp, _ := r.send(path, nil, get); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if resp, _ := r.send("/console/", nil); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %d", resp.StatusCode)
	}
}

func TestItCanBeSwitchedOff(t *testing.T) {
	for _, gateway := range []bool{false, true} {
		r := start(t, func(c *member.Config) { c.Console, c.JSONGateway = false, gateway })
		for _, path := range []string{"/console", "/console/", "/console/main.js", "/console/api/tree", "/console/api/v3/kv/range"} {
			if resp, _ := r.send(path, []byte("{}")); resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
		}
	}
	r := start(t, func(c *member.Config) { c.JSONGateway = false })
	if resp, _ := r.send("/v3/maintenance/status", []byte("{}")); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the gateway that is off: %d", resp.StatusCode)
	}
	if resp, body := r.send("/console/api/v3/maintenance/status", []byte("{}")); resp.StatusCode != http.StatusOK {
		t.Errorf("the console's: %d %s", resp.StatusCode, body)
	}
}

// TestOtherSitesMayNotAsk sends what a browser would for another site's page.
func TestOtherSitesMayNotAsk(t *testing.T) {
	r := start(t)
	unmarked := func(req *http.Request) { req.Header.Del("X-Bowline-Console") }
	from := func(site string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set("Sec-Fetch-Site", site) }
	}
	for _, path := range []string{"/console/api/tree", "/console/api/overview", "/console/api/v3/kv/put", "/console/api/v3/auth/user/add", "/console/api/v3/auth/authenticate", "/console/api/none"} {
		for name, change := range map[string][]func(*http.Request){
			"unmarked": {unmarked}, "a form": {unmarked, func(req *http.Request) { req.Header.Set("Content-Type", "text/plain") }},
			"a link": {unmarked, get}, "another site": {from("cross-site")}, "a sister": {from("same-site")},
			"with a token alone": {unmarked, func(req *http.Request) { req.Header.Set("Authorization", "x") }},
		} {
			if resp, body := r.send(path, []byte(`{"key":"YQ=="}`), change...); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d %s", path, name, resp.StatusCode, body)
			}
		}
	}
	resp, _ := r.send("/console/api/tree", nil, unmarked, func(req *http.Request) {
		req.Method = http.MethodOptions
		req.Header.Set("Origin", "http://elsewhere.example")
		req.Header.Set("Access-Control-Request-Method", "POST")
		req.Header.Set("Access-Control-Request-Headers", "x-bowline-console")
	})
	if allowed := resp.Header.Get("Access-Control-Allow-Headers"); strings.Contains(strings.ToLower(allowed), "console") || strings.Contains(allowed, "*") {
		t.Errorf("scripts of other sites may send %q", allowed)
	}
	if resp, _ := r.send("/console/api/tree", []byte("{}"), from("same-origin")); resp.StatusCode != http.StatusOK {
		t.Errorf("the page itself: %d", resp.StatusCode)
	}
	if resp, _ := r.send("/console/api/tree", nil, get); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a GET: %d", resp.StatusCode)
	}
}

// TestHostsThatAreNotAllowed finds the console behind the same list as all else.
func TestHostsThatAreNotAllowed(t *testing.T) {
	r := start(t, func(c *member.Config) { c.HostWhitelist = []string{"127.0.0.1"} })
	strange := func(req *http.Request) { req.Host = "evil.example" }
	for _, path := range []string{"/console/", "/console/api/tree"} {
		if resp, _ := r.send(path, []byte("{}"), strange); resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// TestEveryWordIsTranslated finds each text that the page's parts write in English in the table of its other language.
func TestEveryWordIsTranslated(t *testing.T) {
	assets := os.DirFS("assets")
	table, err := fs.ReadFile(assets, "korean.js")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(assets, "*.js")
	if err != nil {
		t.Fatal(err)
	}
	written, found := regexp.MustCompile(`\bt\('((?:[^'\\]|\\.)+)'\)`), 0
	for _, name := range files {
		text, err := fs.ReadFile(assets, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range written.FindAllSubmatch(text, -1) {
			found++
			if !strings.Contains(string(table), "'"+string(m[1])+"': ") {
				t.Errorf("%s: %s has no translation", name, m[1])
			}
		}
	}
	if found < 150 {
		t.Errorf("only %d texts are found", found)
	}
}
