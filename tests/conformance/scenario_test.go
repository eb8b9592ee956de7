package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// scenario is one file: steps that are performed in order against one server.
type scenario struct {
	Name  string   `json:"name"`
	About string   `json:"about"`
	Needs []string `json:"needs"` // "fresh": an empty store, which every scenario gets here
	Flags []string `json:"flags"` // that the server must be started with
	// Members is how many the cluster has, 1 if absent. Member 1 is the one that
	// leads when the scenario begins.
	Members int     `json:"members"`
	Steps   []*step `json:"steps"`
}

// step is one action: Call, Open with Call, Send, Recv, Close, Cancel, Crash,
// Restart or SleepMS.
type step struct {
	Note string `json:"note"`

	Call    string `json:"call"`   // "KV/Put", or "/package.Service/Method"
	Open    string `json:"open"`   // start Call as a stream of this name
	Send    string `json:"send"`   // send Request on the stream of this name
	Recv    string `json:"recv"`   // read from it
	Close   string `json:"close"`  // send no more on it
	Cancel  string `json:"cancel"` // drop it
	SleepMS int    `json:"sleep_ms"`
	Crash   int    `json:"crash"`   // kill this member
	Restart int    `json:"restart"` // bring it back, and wait until it answers

	At int `json:"at"` // the member to call or to open a stream at, 1 if absent

	As       string            `json:"as"` // present the token of this name
	Metadata map[string]string `json:"metadata"`
	Request  json.RawMessage   `json:"request"`
	Repeat   int               `json:"repeat"` // call this many times; ${i} is 001, 002 ...

	// What Recv reads: Count answers (one if nothing is said), answers until there
	// are that many Events, everything to the end, or what comes in SilenceMS.
	Count     int  `json:"count"`
	Events    int  `json:"events"`
	ToEnd     bool `json:"to_end"`
	SilenceMS int  `json:"silence_ms"`
	TimeoutMS int  `json:"timeout_ms"`

	Save   map[string]string `json:"save"`   // name: path in the answer
	Ignore []string          `json:"ignore"` // paths that are not compared
	Brief  bool              `json:"brief"`  // long lists are recorded by their digest
	Expect json.RawMessage   `json:"expect"`
}

// member is the index of the member that a step is for.
func (s *step) member() int { return max(1, s.At) - 1 }

// answered tells whether the step has a result to compare.
func (s *step) answered() bool { return s.Recv != "" || s.Call != "" && s.Open == "" }

func (s *step) String() string {
	var words []string
	add := func(word, value string) {
		if value != "" {
			words = append(words, strings.TrimSpace(word+" "+value))
		}
	}
	add("open", s.Open)
	add("", s.Call)
	add("send", s.Send)
	add("recv", s.Recv)
	add("close", s.Close)
	add("cancel", s.Cancel)
	if s.SleepMS > 0 {
		add("sleep", (time.Duration(s.SleepMS) * time.Millisecond).String())
	}
	number := func(word string, member int) {
		if member > 0 {
			add(word, strconv.Itoa(member))
		}
	}
	number("crash", s.Crash)
	number("restart", s.Restart)
	number("at", s.At)
	add("as", s.As)
	if len(s.Request) > 0 {
		var line bytes.Buffer
		if json.Compact(&line, s.Request) == nil {
			add("", clip(line.String(), 160))
		}
	}
	add("#", s.Note)
	return strings.Join(words, " ")
}

// pauses is how long the steps wait for nothing, at least.
func (sc *scenario) pauses() (total time.Duration) {
	for _, s := range sc.Steps {
		total += time.Duration(s.SleepMS+s.SilenceMS) * time.Millisecond
	}
	return total
}

// answered counts the steps that are compared.
func (sc *scenario) answered() (n int) {
	for _, s := range sc.Steps {
		if s.answered() {
			n++
		}
	}
	return n
}

// loadDirectory reads the scenarios of one directory of testdata/v3.
func loadDirectory(dir string) ([]*scenario, error) {
	files, err := filepath.Glob(filepath.Join("testdata", "v3", dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []*scenario
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		sc := &scenario{}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(sc); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if want := dir + "/" + strings.TrimSuffix(filepath.Base(file), ".json"); sc.Name != want {
			return nil, fmt.Errorf("%s: it is called %s", file, sc.Name)
		}
		all = append(all, sc)
	}
	return all, nil
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
