package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"bowline/internal/testkit"

	"github.com/coder/websocket"
)

// TestWatchOverWebSocket watches as a page does, while a put comes by HTTP.
func TestWatchOverWebSocket(t *testing.T) {
	server, err := testkit.StartServer(etcd.Path(t), t.TempDir(), &ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+server.Addr+"/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"create_request": {"key":"Zm9v"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(ctx); err != nil || !strings.Contains(string(got), `"created":true`) {
		t.Fatalf("%s, %v", got, err)
	}
	put, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+server.Addr+"/v3/kv/put", strings.NewReader(`{"key":"Zm9v","value":"YmFy"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if _, got, err := conn.Read(ctx); err != nil || !strings.Contains(string(got), `"value":"YmFy"`) {
		t.Fatalf("%s, %v", got, err)
	}
}
