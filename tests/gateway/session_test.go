package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"
)

var (
	etcd  = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	ports testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, &etcd) }

const patience = 30 * time.Second

// exchange is a request and its answer.
type exchange struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Body    string            `json:"body"`
	Headers map[string]string `json:"headers"`
	// Lines is how many are read of a stream; 0 is all.
	Lines         int               `json:"lines"`
	Status        int               `json:"status"`
	AnswerHeaders map[string]string `json:"answer_headers"`
	Answer        string            `json:"answer"`
}

// told are the headers that are compared, where etcd has them and where it has not.
var told = []string{"Content-Type", "Allow", "Grpc-Metadata-Content-Type",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"}

// notCompared are fields that differ from one member to another, or from second to
// second.
var notCompared = map[string]bool{
	"cluster_id": true, "member_id": true, "leader_id": true, "dbSize": true, "dbSizeInUse": true, "raftIndex": true, "raftAppliedIndex": true,
	"raft_term": true, "raftTerm": true, "memberID": true, "peerURLs": true, "clientURLs": true, "token": true,
}

func TestSession(t *testing.T) {
	text, err := os.ReadFile("testdata/session.json")
	if err != nil {
		t.Fatal(err)
	}
	var session []exchange
	if err := json.Unmarshal(text, &session); err != nil {
		t.Fatal(err)
	}
	server, err := testkit.StartServer(etcd.Path(t), t.TempDir(), &ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	token := ""
	for i, x := range session {
		t.Run(fmt.Sprintf("%02d%s", i+1, strings.ReplaceAll(x.Path, "/", "_")), func(t *testing.T) {
			got, err := x.perform(t.Context(), "http://"+server.Addr, token)
			if err != nil {
				t.Fatal(err)
			}
			x.compare(t, got)
			var granted struct{ Token string }
			if json.Unmarshal([]byte(got.Answer), &granted) == nil && granted.Token != "" {
				token = granted.Token
			}
		})
	}
}

// perform sends the request and returns the exchange with what was answered here.
func (x exchange) perform(ctx context.Context, base, token string) (exchange, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, x.Method, base+x.Path, strings.NewReader(x.Body))
	if err != nil {
		return x, err
	}
	for name, value := range x.Headers {
		req.Header.Set(name, strings.ReplaceAll(value, "$token", token))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return x, err
	}
	defer resp.Body.Close()
	x.Status, x.AnswerHeaders = resp.StatusCode, map[string]string{}
	for _, name := range told {
		if value := resp.Header.Get(name); value != "" {
			x.AnswerHeaders[name] = value
		}
	}
	if x.Lines == 0 {
		all, err := io.ReadAll(resp.Body)
		x.Answer = string(all)
		return x, err
	}
	lines := bufio.NewReader(resp.Body)
	x.Answer = ""
	for range x.Lines {
		line, err := lines.ReadString('\n')
		if err != nil {
			return x, fmt.Errorf("after %q: %w", x.Answer, err)
		}
		x.Answer += line
	}
	return x, nil
}

// compare tells where got differs from what was recorded.
func (x exchange) compare(t *testing.T, got exchange) {
	t.Helper()
	if got.Status != x.Status {
		t.Errorf("status %d, want %d", got.Status, x.Status)
	}
	if !reflect.DeepEqual(got.AnswerHeaders, x.AnswerHeaders) {
		t.Errorf("headers %v, want %v", got.AnswerHeaders, x.AnswerHeaders)
	}
	mine, theirs := parse(got.Answer), parse(x.Answer)
	if !reflect.DeepEqual(mine, theirs) {
		t.Errorf("%s %s\nanswered %s\nwant     %s", x.Path, x.Body, got.Answer, x.Answer)
	}
}

// parse reads a body: JSON values without what is not compared, or a text.
func parse(body string) any {
	var values []any
	for d := json.NewDecoder(strings.NewReader(body)); ; {
		var v any
		err := d.Decode(&v)
		if err == io.EOF {
			return values
		}
		if err != nil {
			return body
		}
		values = append(values, comparable(v))
	}
}

func comparable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		_, lease := v["grantedTTL"]
		for name, value := range v {
			// Members' IDs stand beside their URLs, or are those of leaders.
			member := name == "ID" && v["peerURLs"] != nil || name == "leader" && v["version"] != nil
			if notCompared[name] || member || name == "TTL" && lease {
				v[name] = "some"
				continue
			}
			v[name] = comparable(value)
		}
	case []any:
		for i := range v {
			v[i] = comparable(v[i])
		}
	case string:
		return strings.ReplaceAll(v, "\u00a0", " ") // protobuf's library draws it
	}
	return v
}
