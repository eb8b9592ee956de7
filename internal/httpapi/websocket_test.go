package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.uber.org/zap"
)

// talkative is a gateway whose calls answer what they are asked, twice, with who asks.
func talkative(t *testing.T, origins ...string) string {
	t.Helper()
	calls := runtime.NewServeMux()
	answer := func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
		d := json.NewDecoder(r.Body)
		for {
			var asked map[string]string
			if err := d.Decode(&asked); err != nil {
				return
			}
			asked["who"] = r.Header.Get("Authorization")
			text, err := json.Marshal(asked)
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, string(text)+"\n"+string(text)+"\n")
		}
	}
	for _, path := range []string{"/v3/watch", "/v3/kv/range"} {
		if err := calls.HandlePath(http.MethodPost, path, answer); err != nil {
			t.Fatal(err)
		}
	}
	g := &Gateway{calls: calls, MaxMessage: 1 << 10}
	s := httptest.NewServer(Guard{Origins: origins, Logger: zap.NewNop()}.Wrap(g))
	t.Cleanup(s.Close)
	return s.URL
}

func TestMessagesOverWebSocket(t *testing.T) {
	address := talkative(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, address+"/v3/watch", &websocket.DialOptions{Subprotocols: []string{bearer, "secret.7"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if conn.Subprotocol() != bearer {
		t.Errorf("the protocol is %q", conn.Subprotocol())
	}
	for _, ask := range []string{"a", "b"} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"ask":"`+ask+`"}`)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, got, err := conn.Read(ctx); err != nil || string(got) != `{"ask":"`+ask+`","who":"Bearer secret.7"}` {
				t.Fatalf("%s, %v", got, err)
			}
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// TestOneMessageIsAWholeCall: a call with one request ends after it, without the client's
// doing.
func TestOneMessageIsAWholeCall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, talkative(t)+"/v3/kv/range", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"ask":"x"}`)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := conn.Read(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("ended with %v", err)
	}
}

func TestWebSocketRefusals(t *testing.T) {
	address := talkative(t, "https://friend.example")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for origin, status := range map[string]int{
		"https://friend.example": http.StatusSwitchingProtocols,
		"https://enemy.example":  http.StatusForbidden,
		"":                       http.StatusSwitchingProtocols,
		address:                  http.StatusSwitchingProtocols,
		"::":                     http.StatusForbidden,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, answer, err := websocket.Dial(ctx, address+"/v3/watch", &websocket.DialOptions{HTTPHeader: header})
		if answer == nil || answer.StatusCode != status {
			t.Errorf("from %q: %v, %v", origin, answer, err)
		}
		if err == nil {
			conn.CloseNow()
		}
	}
	conn, _, err := websocket.Dial(ctx, address+"/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"ask":"`+strings.Repeat("x", 2<<10)+`"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message beyond the limit: %v", err)
	}
}

func TestTokenAmong(t *testing.T) {
	for want, protocols := range map[string][]string{
		"":    {"a, b"},
		"t.1": {"Bearer, t.1"},
		"t.2": {"Bearer", "t.2"},
		"t.3": {"a,Bearer,t.3,b"},
	} {
		if got := tokenAmong(protocols); got != want {
			t.Errorf("%q: %q", protocols, got)
		}
	}
	if tokenAmong(nil) != "" || tokenAmong([]string{"Bearer"}) != "" {
		t.Error("a token from nowhere")
	}
}
