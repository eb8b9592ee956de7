package v2test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// player plays one file.
type player struct {
	t       *testing.T
	cluster *cluster
	known
	watches map[string]*watch
	roles   map[string]int
	stopped int
}

func (p *player) nodeOf(s *step) int {
	switch n := s.Node.(type) {
	case nil:
		return 0
	case float64:
		return int(n)
	case string:
		if n == "stopped" {
			return p.stopped
		}
		if p.roles == nil {
			p.findRoles()
		}
		return p.roles[n]
	}
	p.t.Fatalf("a member cannot be %v", s.Node)
	return 0
}

func (p *player) findRoles() {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		roles := map[string]int{}
		leaders, followers := 0, 0
		for i, n := range p.cluster.nodes {
			resp, body, err := fetch(http.MethodGet, n.endpoint+"/v2/stats/self")
			switch {
			case err != nil || resp.StatusCode != http.StatusOK:
			case strings.Contains(body, `"StateLeader"`):
				leaders++
				roles["leader"] = i
			default:
				followers++
				roles[fmt.Sprint("follower", followers)] = i
			}
		}
		if leaders == 1 {
			p.roles = roles
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	p.t.Fatal("there is no single leader")
}

// request builds a step's request.
func (p *player) request(s *step) *http.Request {
	p.node = p.nodeOf(s)
	target := p.expand(s.Path)
	if s.Query != nil {
		joint := "?"
		if strings.Contains(target, "?") {
			joint = "&"
		}
		target += joint + s.Query.encode(&p.known)
	}
	var body io.Reader
	kind := ""
	switch {
	case s.Form != nil:
		body, kind = strings.NewReader(s.Form.encode(&p.known)), "application/x-www-form-urlencoded"
	case s.JSON != nil:
		body = strings.NewReader(p.expand(string(s.JSON)))
	case s.Data != nil:
		body = strings.NewReader(p.expand(*s.Data))
	}
	endpoint := p.cluster.nodes[p.node].endpoint
	req, err := http.NewRequest(s.Method, endpoint, body)
	if err != nil {
		p.t.Fatal(err)
	}
	// The path goes out as it is written.
	req.URL = &url.URL{Scheme: "http", Host: strings.TrimPrefix(endpoint, "http://"), Opaque: target}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for name, value := range s.Headers {
		req.Header.Set(name, p.expand(value))
	}
	if user, password, ok := strings.Cut(s.BasicAuth, ":"); ok {
		req.SetBasicAuth(user, password)
	}
	return req
}

// do makes a step's request, as often as it says.
func (p *player) do(s *step) (*http.Response, []byte, error) {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	for n := max(1, s.Repeat); ; n-- {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		resp, err := transport.RoundTrip(p.request(s).WithContext(ctx))
		if err != nil {
			cancel()
			return nil, nil, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		cancel()
		if n == 1 || err != nil || resp.StatusCode >= http.StatusBadRequest {
			return resp, body, err
		}
	}
}

// play plays a file and returns how many of its steps fit.
func (p *player) play(f *file) (passed int) {
	for i := range f.Setup {
		_, _, _ = p.do(&f.Setup[i]) // what is to be removed may not be there
	}
	p.begin(f)
	for i := range f.Steps {
		s := &f.Steps[i]
		diff := p.step(s)
		if diff == nil && s.checked() {
			passed++
		}
		if diff != nil {
			p.t.Errorf("step %d: %s %s%s %s\n    %s", i+1, s.Method, s.Path, s.StartWatch+s.EndWatch, s.Note, strings.Join(diff, "\n    "))
		}
	}
	for _, w := range p.watches {
		w.end()
	}
	return passed
}

// begin finds out where the store is.
func (p *player) begin(f *file) {
	for _, n := range p.cluster.nodes {
		resp, _, err := fetch(http.MethodGet, n.endpoint+"/v2/keys?quorum=true")
		if err != nil {
			p.t.Fatal(err)
		}
		index, _ := strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
		p.base = max(p.base, index)
		_, body, err := fetch(http.MethodGet, n.endpoint+"/v2/stats/store")
		stats := map[string]float64{}
		if err == nil {
			err = json.Unmarshal([]byte(body), &stats)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		p.stats = append(p.stats, stats)
	}
	if f.BaseIndex != nil && p.base != *f.BaseIndex {
		p.t.Errorf("the index at the start is %d, want %d", p.base, *f.BaseIndex)
	}
}

func (p *player) step(s *step) []string {
	switch {
	case s.Sleep > 0:
		<-time.After(time.Duration(s.Sleep * float64(time.Second)))
		return nil
	case s.Control != "":
		i := p.nodeOf(s)
		if s.Control == "kill" || s.Control == "stop" || s.Control == "pause" {
			p.stopped = i
		}
		p.cluster.control(s.Control, i, s.Args)
		return nil
	case s.FindRoles:
		p.findRoles()
		return nil
	case s.StartWatch != "":
		return p.startWatch(s)
	case s.EndWatch != "":
		return p.endWatch(s)
	}
	deadline := time.Now().Add(time.Duration(s.Retry * float64(time.Second)))
	for {
		resp, body, err := p.do(s)
		if err != nil {
			return []string{err.Error()}
		}
		diff := append(p.matchHead(s, resp), p.matchBody(s, s.Body, body, "body")...)
		if diff == nil || !time.Now().Before(deadline) {
			p.save(s, body)
			return diff
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (p *player) matchHead(s *step, resp *http.Response) (diff []string) {
	if s.Status != nil && resp.StatusCode != *s.Status {
		diff = append(diff, fmt.Sprintf("status: want %d, got %d", *s.Status, resp.StatusCode))
	}
	for name, want := range s.ResponseHeaders {
		values := resp.Header.Values(name)
		switch {
		case want == nil && len(values) > 0:
			diff = append(diff, fmt.Sprintf("header %s: want none, got %q", name, values))
		case want != nil && (len(values) == 0 || !p.matchText(*want, strings.Join(values, ", "))):
			diff = append(diff, fmt.Sprintf("header %s: want %s, got %q", name, *want, values))
		}
	}
	slices.Sort(diff)
	return diff
}

func (p *player) matchBody(s *step, want json.RawMessage, got []byte, path string) []string {
	if want == nil {
		return nil
	}
	wanted, err := parse(want)
	if err != nil {
		return []string{err.Error()}
	}
	if text, isText := wanted.(string); isText {
		if !p.matchText(text, string(got)) {
			return []string{fmt.Sprintf("%s: want %q, got %q", path, text, got)}
		}
		return nil
	}
	v, err := parse(got)
	if err != nil {
		return []string{fmt.Sprintf("%s is not JSON: %q", path, got)}
	}
	return p.match(wanted, v, path, s.Subset, s.Unordered)
}

func (p *player) save(s *step, body []byte) {
	for name, where := range s.Save {
		v, _ := parse(body)
		for part := range strings.SplitSeq(where, ".") {
			switch at := v.(type) {
			case map[string]any:
				v = at[part]
			case []any:
				i, _ := strconv.Atoi(part)
				if v = nil; i < len(at) {
					v = at[i]
				}
			}
		}
		p.saved[name] = v
	}
}

// watch is a request that waits for events.
type watch struct {
	cancel context.CancelFunc
	mu     sync.Mutex // guards lines
	lines  [][]byte
	closed chan struct{}
}

func (w *watch) end() {
	w.cancel()
	<-w.closed
}

func (p *player) startWatch(s *step) []string {
	ctx, cancel := context.WithCancel(context.Background())
	get := *s
	get.Method = http.MethodGet
	resp, err := client().RoundTrip(p.request(&get).WithContext(ctx))
	if err != nil {
		cancel()
		return []string{err.Error()}
	}
	w := &watch{cancel: cancel, closed: make(chan struct{})}
	p.watches[s.StartWatch] = w
	go func() {
		defer close(w.closed)
		defer resp.Body.Close()
		in := bufio.NewReader(resp.Body)
		for {
			line, err := in.ReadBytes('\n')
			if len(line) > 0 {
				w.mu.Lock()
				w.lines = append(w.lines, line)
				w.mu.Unlock()
			}
			if err != nil {
				return
			}
		}
	}()
	return p.matchHead(s, resp)
}

// received waits for so many lines, and a little for one too many.
func (w *watch) received(want int, within time.Duration) (lines [][]byte, open bool) {
	deadline, settle := time.After(within), (<-chan time.Time)(nil)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	take := func() [][]byte {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Clone(w.lines)
	}
	for {
		select {
		case <-w.closed:
			return take(), false
		case <-deadline:
			return take(), true
		case <-settle:
			return take(), true
		case <-poll.C:
			if settle == nil && len(take()) >= want {
				settle = time.After(400 * time.Millisecond)
				deadline = nil
			}
		}
	}
}

func (p *player) endWatch(s *step) (diff []string) {
	w := p.watches[s.EndWatch]
	if w == nil {
		return []string{"there is no such watch"}
	}
	delete(p.watches, s.EndWatch)
	defer w.end()
	events, then := s.Events, s.Then
	if events == nil {
		events = []json.RawMessage{s.Body}
		if then == "" {
			then = "closed"
		}
	}
	if then == "" {
		then = "open"
	}
	within := 5.0
	if s.Within > 0 {
		within = s.Within
	}
	lines, open := w.received(len(events), time.Duration(within*float64(time.Second)))
	if len(lines) != len(events) {
		diff = append(diff, fmt.Sprintf("want %d events, got %d: %s", len(events), len(lines), bytes.Join(lines, nil)))
	}
	for i := range min(len(lines), len(events)) {
		diff = append(diff, p.matchBody(s, events[i], lines[i], fmt.Sprintf("event[%d]", i))...)
	}
	if open != (then == "open") {
		diff = append(diff, fmt.Sprintf("the answer should be %s; is it open: %t", then, open))
	}
	return diff
}
