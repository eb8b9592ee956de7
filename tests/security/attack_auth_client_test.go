package security

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// TestTheClientLogsInAgain: the official client, given a name and a password, goes on
// when its token is void: after a restart of the member, which keeps none, and after it
// has expired.
func TestTheClientLogsInAgain(t *testing.T) {
	r := withMallory(t, nil)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{r.cfg.ListenClientURLs[0].Host}, Username: "mallory", Password: "pw-mallory",
		DialTimeout: authPatience, Logger: zap.NewNop()})
	r.must(err)
	defer c.Close()
	_, err = c.Put(t.Context(), "m/own", "before")
	r.must(err)
	r.restart()
	deadline := time.After(authPatience)
	for {
		if _, err = c.Put(t.Context(), "m/own", "after"); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("the client does not come back: %v", err)
		default: // the connection is made anew
		}
	}
	resp, err := c.Get(t.Context(), "m/own")
	r.must(err)
	if len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "after" {
		t.Errorf("read %v", resp.Kvs)
	}
	_, err = c.Get(t.Context(), "secret")
	if err == nil {
		t.Error("the client reads what it may not")
	}
}
