package member

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestSlowRequestsAreTold lets everything be slow, and finds the lines that tools
// look for, without what was stored.
func TestSlowRequestsAreTold(t *testing.T) {
	const secret = "hush-hush"
	cfg := testConfig(t)
	cfg.SlowApply, cfg.SlowRequest = 0, 0
	core, logs := observer.New(zap.InfoLevel)
	cfg.Logger = zap.New(core)
	m := startMember(t, cfg)
	kv := pb.NewKVClient(dial(t, m))
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: []byte(secret)}); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: []byte(secret), Lease: 99}); err == nil {
		t.Fatal("a put with a lease that is not there was accepted")
	}
	for _, want := range []struct{ message, field, value string }{
		{"apply request took too long", "request", `put:<key:"k" value_size:9>`},
		{"apply request took too long", "request", "commit of 1 entries"},
		{"apply request took too long", "prefix", "read-only range "},
		{"apply request took too long", "error", "requested lease not found"},
		{"failed to apply request", "error", "requested lease not found"},
		{"request stats", "response type", "/etcdserverpb.KV/Put"},
		{"request stats", "request content", `key:"k" value_size:9`},
		{"request stats", "response type", "/etcdserverpb.KV/Range"},
	} {
		found := false
		for _, line := range logs.FilterMessage(want.message).All() {
			text, _ := line.ContextMap()[want.field].(string)
			found = found || strings.Contains(text, want.value)
		}
		if !found {
			t.Errorf("no line %q has %q in %q", want.message, want.value, want.field)
		}
	}
	for _, line := range logs.All() {
		for field, value := range line.ContextMap() {
			if text, ok := value.(string); ok && strings.Contains(text, secret) {
				t.Errorf("line %q tells the value in %q", line.Message, field)
			}
		}
	}
	if n := m.fsm.Stats().SlowApplies.Load(); n < 4 {
		t.Errorf("%d slow applies are counted", n)
	}
}

// TestFastRequestsAreNot is the same with the limits that are usual.
func TestFastRequestsAreNot(t *testing.T) {
	cfg := testConfig(t)
	cfg.SlowApply, cfg.SlowRequest = time.Minute, time.Minute
	core, logs := observer.New(zap.InfoLevel)
	cfg.Logger = zap.New(core)
	kv := pb.NewKVClient(dial(t, startMember(t, cfg)))
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{"apply request took too long", "request stats", "failed to apply request"} {
		if n := logs.FilterMessage(message).Len(); n > 0 {
			t.Errorf("%q was logged %d times", message, n)
		}
	}
}
