package member

import (
	"testing"

	"go.uber.org/zap"
)

func TestOwnAddress(t *testing.T) {
	for _, c := range []struct {
		urls []string
		want string
	}{
		{nil, "invalid IP"},
		{[]string{"http://localhost:2380", "http://127.0.0.1:2380", "http://[::1]:2380", "http://0.0.0.0:2380"}, "invalid IP"},
		{[]string{"http://m1.example:2380", "http://10.1.2.3:2380", "http://10.9.9.9:2380"}, "10.1.2.3"},
		{[]string{"https://[fd00::7]:2380"}, "fd00::7"},
		{[]string{"://", "http://10.1.2.3:2380"}, "10.1.2.3"},
	} {
		if got := ownAddress(c.urls, zap.NewNop()).String(); got != c.want {
			t.Errorf("%v: %s, want %s", c.urls, got, c.want)
		}
	}
}
