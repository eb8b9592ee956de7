package console_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bowline/internal/member"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var questions = []string{"overview", "figures", "tree", "search", "history", "leases", "load"}

// TestPermissionsAreTheCalls asks everything as everybody.
func TestPermissionsAreTheCalls(t *testing.T) {
	r := start(t)
	r.put("/app/a", "1")
	r.put("/other", "2")
	r.secure()
	key := func(k string) map[string]any { return map[string]any{"key": []byte(k), "prefix": []byte(k)} }
	who := []string{"", "root", "anna", "nobody", "stolen"}
	for _, c := range []struct {
		question string
		body     any
		may      string // the names of those who may
	}{
		{"overview", nil, "root anna nobody"}, {"figures", nil, "root anna nobody"}, {"load", nil, "root"},
		{"tree", key(""), "root"}, {"tree", key("/app/"), "root anna"}, {"tree", key("/other"), "root"},
		{"search", key(""), "root"}, {"search", key("/app/"), "root anna"},
		{"history", key("/app/a"), "root anna"}, {"history", key("/other"), "root"},
		{"v3/kv/range", key("/app/a"), "root anna"}, {"v3/kv/put", key("/app/a"), "root"},
		{"v3/auth/user/list", struct{}{}, "root"},
	} {
		for _, user := range who {
			switch r.token = ""; user {
			case "":
			case "stolen":
				r.token = "not.a.token"
			default:
				r.login(user, "pw-"+user)
			}
			var told struct {
				Code    int
				Message string
			}
			code := r.try(c.question, c.body, &told)
			may := user != "" && slices.Contains(strings.Fields(c.may), user)
			if may != (code == http.StatusOK) || !may && (told.Message == "" || code >= 500) {
				t.Errorf("%s %v by %q: %d %s", c.question, c.body, user, code, told.Message)
			}
		}
	}
}

// TestHostileQuestions gets refusals, and neither faults nor work without end.
func TestHostileQuestions(t *testing.T) {
	r := start(t)
	r.put("k", "v")
	long := bytes.Repeat([]byte("x"), 1<<20)
	bodies := []string{"", "{", "[]", "null", `"x"`, `{"prefix":5}`, `{"prefix":"not base64!"}`, `{"limit":-1}`, `{"limit":9223372036854775807}`,
		`{"limit":1e99}`, `{"before":-9223372036854775808}`, `{"before":9223372036854775807,"key":"aw=="}`, `{"key":""}`, `{"delimiter":"\u0000"}`, `{"after":"AA=="}`,
		`{"after":"//////8="}`, `{"after":"x","id":"zz"}`, `{"id":"fffffffffffffffff"}`, `{"id":"-1"}`, `{"id":"1"}`,
		fmt.Sprintf(`{"prefix":"%s"}`, strings.Repeat("eHh4", 400_000)), strings.Repeat("[", 100_000), string(long)}
	for _, name := range questions {
		for _, body := range bodies {
			resp, answer := r.send("/console/api/"+name, []byte(body))
			if resp.StatusCode >= 500 || !json.Valid(answer) || len(answer) > 1<<20 {
				t.Errorf("%s %.40q: %d %.200s", name, body, resp.StatusCode, answer)
			}
		}
		resp, _ := r.send("/console/api/"+name, bytes.Repeat(long, 16))
		if resp.StatusCode != http.StatusRequestEntityTooLarge && resp.StatusCode >= 500 {
			t.Errorf("%s with 16 MiB: %d", name, resp.StatusCode)
		}
	}
}

func TestLeases(t *testing.T) {
	r := start(t)
	var ids []string
	for i := range 130 {
		l, err := r.client.Grant(t.Context(), int64(100+i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fmt.Sprintf("%x", uint64(l.ID)))
		if i == 0 {
			for k := range 150 {
				if _, err := r.client.Put(t.Context(), fmt.Sprintf("leased/%03d", k), "", clientv3.WithLease(l.ID)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	type lease struct {
		ID           string
		TTL, Granted int64
		Keys         [][]byte
		Held         int
	}
	var seen []string
	for after := ""; ; {
		var page struct {
			Total  int
			Leases []lease
			More   bool
		}
		r.ask("leases", map[string]any{"after": after}, &page)
		if page.Total != len(ids) || len(page.Leases) > 50 {
			t.Fatalf("%d leases of %d", len(page.Leases), page.Total)
		}
		for _, l := range page.Leases {
			if l.Granted < 100 || l.TTL <= 0 || l.TTL > l.Granted {
				t.Errorf("%+v", l)
			}
			seen = append(seen, l.ID)
		}
		if !page.More {
			break
		}
		after = seen[len(seen)-1]
	}
	slices.Sort(seen)
	slices.Sort(ids)
	if !slices.Equal(seen, ids) {
		t.Errorf("seen %q of %q", seen, ids)
	}
	var one lease
	for _, id := range ids {
		if r.ask("leases", map[string]any{"id": id}, &one); one.Granted == 100 && (one.Held != 150 || len(one.Keys) != 100) {
			t.Errorf("%d of %d keys", len(one.Keys), one.Held)
		}
	}
	if r.ask("leases", map[string]any{"id": "1"}, &one); one.TTL != -1 {
		t.Errorf("a lease that is not there: %+v", one)
	}
}

// TestLoad lets every request be slow, and finds them, and where most keys are.
func TestLoad(t *testing.T) {
	r := start(t, func(c *member.Config) { c.SlowApply, c.SlowRequest = time.Nanosecond, time.Nanosecond })
	for i := range 300 {
		r.put(fmt.Sprintf("/registry/pods/ns-%d/%04d", i%3, i), "the value")
	}
	var a struct {
		Slow []struct {
			Method, Request string
			Took            float64
			Phases          []struct {
				Name string
				Took float64
			}
		}
		SlowEver uint64 `json:"slow_ever"`
		Counted  uint64
		Keys     int64
		Largest  []struct {
			Prefix []byte
			Keys   int64
		}
	}
	r.ask("load", nil, &a)
	if len(a.Slow) != 200 || a.SlowEver < 300 || a.Keys != 300 {
		t.Errorf("%d slow requests of %d, %d keys", len(a.Slow), a.SlowEver, a.Keys)
	}
	found := false
	for _, s := range a.Slow {
		found = found || s.Method == "Put" && strings.Contains(s.Request, "/registry/pods/ns-") && s.Took > 0 &&
			len(s.Phases) == 4 && s.Phases[1].Name == "agree" && s.Phases[1].Took > 0
		if strings.Contains(s.Request, "the value") {
			t.Errorf("%q tells a value", s.Request)
		}
	}
	if !found || len(a.Largest) == 0 || string(a.Largest[0].Prefix) != "/registry/pods/" || a.Largest[0].Keys != 300 {
		t.Errorf("a put among them: %t; most keys: %+v", found, a.Largest)
	}
}

func TestFiguresAndOverview(t *testing.T) {
	r := start(t)
	r.put("k", "v")
	var f struct {
		At       int64
		Values   map[string]float64
		Requests map[string]struct{ Count uint64 }
		Others   map[string]struct {
			Bounds []float64
			Below  []uint64
		}
	}
	r.ask("figures", nil, &f)
	if f.Requests["Put"].Count != 1 || f.Values["etcd_debugging_mvcc_keys_total"] != 1 || len(f.Others["etcd_disk_wal_fsync_duration_seconds"].Bounds) == 0 {
		t.Errorf("%+v", f)
	}
	var o struct {
		Leader  string
		Members []struct {
			ID, Name, State string
			Self            bool
			Revision        int64
		}
	}
	r.ask("overview", nil, &o)
	if len(o.Members) != 1 || o.Members[0].State != "healthy" || !o.Members[0].Self || o.Members[0].ID != o.Leader || o.Members[0].Revision != 2 {
		t.Errorf("%+v", o)
	}
}
