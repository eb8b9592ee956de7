package server

import "testing"

func TestVersionsOfADowngrade(t *testing.T) {
	for text, want := range map[string]string{
		"3.6": "3.6", "3.6.0": "3.6", "3.6.9": "3.6", "3.06": "3.6", "99.1": "99.1",
		"3.6.0-rc.0": "3.6", "3.6.0+x": "3.6", "3.6.0-rc-1.2+build.7": "3.6", "3.6.0-": "3.6",
		"": "", "3": "", "v3.6": "", "3.6.x": "", "-1.2": "", " 3.6": "", "3.6.0.0": "", "99999999999999999999.1": "",
		"3.6-rc.0": "", "3.6+x": "", "3.6-": "", "3.6.0-rc..0": "", "3.6.0+x_y": "", "3.6.0-\u00fc": "",
	} {
		got, err := parseMinor(text)
		if err == nil && got.String() != want || err != nil && want != "" {
			t.Errorf("%q is %v (%v), want %q", text, got, err, want)
		}
	}
}
