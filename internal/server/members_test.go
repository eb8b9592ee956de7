package server

import (
	"fmt"
	"testing"
)

func TestURLsOfANewMember(t *testing.T) {
	for _, c := range []struct {
		given []string
		want  string
	}{
		{[]string{"http://b:2", "http://a:1", "http://b:2"}, "[http://a:1 http://b:2 http://b:2]"},
		{[]string{" http://a:1\n"}, "[http://a:1]"},
		{[]string{"HTTP://A:1"}, "[http://A:1]"},
		{[]string{"http://\u00fc:1"}, "[http://%C3%BC:1]"},
		{[]string{"http://u:p@a:1?x=y#f"}, "[http://u:p@a:1?x=y#f]"},
		{[]string{"unix://a", "unixs:///b/c"}, "[unix://a unixs:///b/c]"},
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"a:1"}, ""},
		{[]string{"http://a"}, ""},
		{[]string{"http://a:1/"}, ""},
		{[]string{"ftp://a:1"}, ""},
		{[]string{"http://a:1", "b"}, ""},
	} {
		got, ok := memberURLs(c.given)
		if ok != (c.want != "") || ok && fmt.Sprint(got) != c.want {
			t.Errorf("%q are %q, %v; want %s", c.given, got, ok, c.want)
		}
	}
}
