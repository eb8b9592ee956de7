package recent

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTheLatestSlowRequestsAreKept(t *testing.T) {
	r := New()
	for i := range 3 * maxSlow {
		r.AddSlow(Slow{Took: time.Duration(i), Request: strings.Repeat("x", 10*maxText)})
	}
	latest, ever := r.Slowest()
	if len(latest) != maxSlow || ever != 3*maxSlow {
		t.Fatalf("%d are kept of %d", len(latest), ever)
	}
	for i, s := range latest {
		if want := time.Duration(3*maxSlow - 1 - i); s.Took != want || len(s.Request) > maxText+len("…") {
			t.Fatalf("number %d took %d, want %d, with a text of %d bytes", i, s.Took, want, len(s.Request))
		}
	}
}

func TestNothingIsKeptWithoutRoom(t *testing.T) {
	var r *Requests
	r.AddSlow(Slow{})
	if latest, ever := r.Slowest(); latest != nil || ever != 0 || r.Picks(0) {
		t.Errorf("%v of %d", latest, ever)
	}
	if hot, n := r.Hottest(); hot != nil || n != 0 {
		t.Errorf("%v of %d", hot, n)
	}
}

func TestWhatIsHotStaysAmongMany(t *testing.T) {
	r := New()
	for i := range 10 * fadeAt {
		r.Count(fmt.Appendf(nil, "/cold%d/", i), false)
		if i%4 == 0 {
			r.Count([]byte("/registry/pods/default/x"), i%8 == 0)
		}
	}
	hot, counted := r.Hottest()
	if len(hot) > maxPrefixes || counted >= fadeAt {
		t.Fatalf("%d prefixes, %d requests", len(hot), counted)
	}
	for _, h := range hot {
		if h.Prefix == "/registry/pods/" {
			if share := float64(h.Reads+h.Writes) / float64(counted); share < 0.15 || h.Writes == 0 || h.Reads == 0 {
				t.Errorf("its share is %.2f: %+v", share, h)
			}
			return
		}
	}
	t.Error("it was forgotten")
}

func TestPrefixes(t *testing.T) {
	for key, want := range map[string]string{
		"": "", "/": "/", "a": "a", "a/b": "a/", "a/b/c": "a/b/", "a/b/c/d": "a/b/", "/a": "/a",
		"/registry/pods/default/x": "/registry/pods/", "/registry/x": "/registry/",
		strings.Repeat("k", 1000): strings.Repeat("k", maxPrefix),
	} {
		if got := prefixOf([]byte(key)); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

func TestFewArePicked(t *testing.T) {
	r, picked := New(), 0
	for i := range 61000 {
		if r.Picks(time.Duration(i)) {
			picked++
		}
	}
	if picked != 1000 {
		t.Errorf("%d of 61000", picked)
	}
}
