package v2

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestTextIsJSON has every byte, at every place among others, quoted as encoding/json does.
func TestTextIsJSON(t *testing.T) {
	for _, rest := range []string{"", "abcdefgh", strings.Repeat("~", 17), strings.Repeat(" ", 9), strings.Repeat("\x7f", 8), "#%;=[]'?"} {
		for at := range len(rest) + 1 {
			for c := range 256 {
				s := rest[:at] + string([]byte{byte(c)}) + rest[at:]
				want, err := json.Marshal(s)
				if err != nil {
					t.Fatal(err)
				}
				if got := appendText(nil, s); string(got) != string(want) {
					t.Errorf("%q is %s, want %s", s, got, want)
				}
				if own := string(want) == `"`+s+`"`; plain(s) != own {
					t.Errorf("plain of %q is %t", s, !own)
				}
			}
		}
	}
}
