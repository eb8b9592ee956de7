package clitest

import "testing"

func TestMatch(t *testing.T) {
	v := newVars()
	v.text["endpoint"] = "127.0.0.1:1"
	for _, c := range []struct {
		template, text string
		all, want      bool
	}{
		{"<<endpoint>> took <<duration>>", "127.0.0.1:1 took 1.5ms", true, true},
		{"<<endpoint>> took <<duration>>", "127.0.0.1:2 took 1.5ms", true, false},
		{"lease <<lease_id>>\n", "lease 00000000000000ff\n", true, true},
		{"<<lease_id_dec>>", "255", true, true},
		{"<<lease_id_x>>", "ff", true, true},
		{"<<lease_id_dec>>", "256", true, false},
		{"a<<lease_id_2_dec>>b<<lease_id_2_dec>>", "a1b2", true, false},
		{"a<<lease_id_3_dec>>b<<lease_id_3_dec>>", "a7b7", true, true},
		{"Member <<member_id_hex>> added", "Member       1234 added", true, true},
		{"took <<size>>", "it took 2.1 GB in all", false, true},
		{"took <<size>>", "it took 2.1 GB in all", true, false},
		{"a.b", "axb", true, false},
	} {
		got, err := v.match(c.template, c.text, c.all)
		if err != nil || got != c.want {
			t.Errorf("match(%q, %q, %t) = %t, %v", c.template, c.text, c.all, got, err)
		}
	}
	if _, err := v.match("<<bogus>>", "x", true); err == nil {
		t.Error("an unknown placeholder is accepted")
	}
	if got, err := v.subst("<<endpoint>>/<<lease_id>>"); err != nil || got != "127.0.0.1:1/00000000000000ff" {
		t.Errorf("subst: %q, %v", got, err)
	}
}

func TestQuoteBytes(t *testing.T) {
	if got := quoteBytes([]byte("a\"\\\n\x00\xff<")); got != `"a\"\\\n\u0000\u00ff<"` {
		t.Error(got)
	}
}
