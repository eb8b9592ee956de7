package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestSimpleTokens(t *testing.T) {
	now := time.Unix(1000, 0)
	s := NewSimpleTokens(10 * time.Second)
	s.Assign("u", "a.1", now)
	s.Assign("u", "b.2", now)
	s.Assign("v", "c.3", now)
	whose := func(token string, at time.Duration) string {
		user, _ := s.User(token, now.Add(at))
		return user
	}
	if whose("a.1", 0) != "u" || whose("c.3", 0) != "v" || whose("d.4", 0) != "" {
		t.Fatal("tokens are mixed up")
	}
	// Used all the time it lives on; the others end.
	for i := range 5 {
		if whose("a.1", time.Duration(i)*6*time.Second) != "u" {
			t.Fatalf("use does not prolong a token (%d)", i)
		}
	}
	if whose("b.2", 10*time.Second) != "" {
		t.Error("a token outlives its time")
	}
	s.Expire(now.Add(24 * time.Second))
	if s.Len() != 1 {
		t.Errorf("%d tokens are left, want the one in use", s.Len())
	}
	s.Assign("v", "e.5", now.Add(24*time.Second))
	s.EndOf("u")
	if whose("a.1", 24*time.Second) != "" || whose("e.5", 24*time.Second) != "v" {
		t.Error("the tokens of one user end, and no others")
	}
	s.EndAll()
	if s.Len() != 0 {
		t.Error("tokens are left")
	}
}

func TestSimpleTokensAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	s := NewSimpleTokens(time.Minute)
	s.max = 80
	s.Assign("keeper", "kept", now)
	for i := range 1000 {
		at := now.Add(time.Duration(i) * 100 * time.Millisecond)
		s.Assign("u", fmt.Sprint(i), at)
		if _, ok := s.User("kept", at); !ok {
			t.Fatalf("a token in use went for the %dth", i)
		}
	}
	if n := s.Len(); n > 80 {
		t.Errorf("%d tokens are kept", n)
	}
}

func TestNewPrefix(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p, err := NewPrefix()
		if err != nil || len(p) != 16 || strings.Trim(p, tokenLetters) != "" || seen[p] {
			t.Fatalf("%q: %v", p, err)
		}
		if n, ok := TokenIndex(p + ".68"); !ok || n != 68 {
			t.Fatalf("%q is not a token", p)
		}
		seen[p] = true
	}
}

func TestParseTokens(t *testing.T) {
	tests := []struct {
		text   string
		simple bool
		want   string // the error
		log    string
	}{
		{"simple", true, "", "simple token is not cryptographically signed"},
		{"simple,a=b", true, "", ""},
		{"", false, "", ""},
		{"jwt", false, "auth: invalid auth options", "problem loading JWT options"},
		{"paseto", false, "auth: invalid auth options", "unknown token type"},
		{"simple,a", false, "auth: invalid auth options", "invalid token option"},
		{"simple,a=b=c", false, "auth: invalid auth options", "invalid token option"},
		{"simple,a=b,a=c", false, "auth: invalid auth options", "invalid token option"},
	}
	for _, test := range tests {
		core, lines := observer.New(zap.DebugLevel)
		got, err := ParseTokens(test.text, 0, zap.New(core))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != test.want || (got.Simple != nil) != test.simple || got.JWT != nil {
			t.Errorf("%q: %+v, %v", test.text, got, err)
		}
		if test.log != "" && lines.FilterMessage(test.log).Len() != 1 {
			t.Errorf("%q logs %v", test.text, lines.All())
		}
	}
}

// BenchmarkTokenOfMany is a look-up by many at once who all have the same token.
func BenchmarkTokenOfMany(b *testing.B) {
	s := NewSimpleTokens(0)
	for i := range 1000 {
		s.Assign("u", fmt.Sprintf("prefixprefixpref.%d", i), time.Now())
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, ok := s.User("prefixprefixpref.7", time.Now()); !ok {
				b.Fatal("no user")
			}
		}
	})
}
