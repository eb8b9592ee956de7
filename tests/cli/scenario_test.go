package clitest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// scenario is one recording.
type scenario struct {
	Name       string
	Area       string
	Servers    *int               // members to start, 1 if absent
	ServerArgs []string           `json:"server_args"`
	TLS        string             // "", "server" or "mutual"
	Env        map[string]*string // of every step; null removes a variable
	Reserve    []string           // extra servers whose addresses are known from the start
	Steps      []step
}

// step is one step; which of its fields is set tells its kind.
type step struct {
	// Run a command to its end.
	Cmd         []string
	Env         map[string]*string
	Stdin       *string
	StdinRepeat []json.RawMessage `json:"stdin_repeat"` // [text, times]
	StdinTTY    []string          `json:"stdin_tty"`    // lines typed on a terminal
	Timeout     float64

	// Run Cmd in the background, wait for its output, write to it, end it.
	Spawn  string
	Expect string
	Feed   string
	EOF    bool
	Finish string
	Signal string
	Delay  float64

	Sleep     float64
	WriteFile string `json:"write_file"`
	Content   string
	CheckFile string `json:"check_file"`
	Exists    *bool
	MinSize   int64 `json:"min_size"`
	Remove    string

	StopServer  json.RawMessage `json:"stop_server"`
	StartServer json.RawMessage `json:"start_server"`
	WaitServer  string          `json:"wait_server"`

	expectations
}

// expectations are what a step's output is compared with.
type expectations struct {
	Exit           *int
	Stdout         *string
	StdoutLines    []string     `json:"stdout_lines"`
	StdoutContains texts        `json:"stdout_contains"`
	StdoutTable    *tableWanted `json:"stdout_table"`
	StdoutProto    *protoWanted `json:"stdout_proto"`
	Stderr         *string      // only ever ""
	StderrContains texts        `json:"stderr_contains"`
}

type tableWanted struct {
	Header []string
	Style  string
	Rows   [][]string
}

type protoWanted struct {
	Message string
	Text    string
}

// texts is a list of texts, or a single one.
type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// extraServer is a server started by a step.
type extraServer struct {
	ID      string
	Name    string
	DataDir string `json:"data_dir"`
	Args    []string
	Cluster string
	Ready   *bool
}

func loadScenario(path string) (*scenario, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s scenario
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

// addsMember tells whether a step is etcdctl's member add.
func (s *step) addsMember() bool {
	return len(s.Cmd) > 2 && s.Cmd[1] == "member" && s.Cmd[2] == "add"
}

// title names a step in messages.
func (s *step) title() string {
	switch {
	case s.Spawn != "":
		return "spawn " + s.Spawn + ": " + quoteArgs(s.Cmd)
	case s.Cmd != nil:
		return quoteArgs(s.Cmd)
	case s.Expect != "":
		return "expect " + s.Expect
	case s.Finish != "":
		return "finish " + s.Finish + " " + s.Signal
	case s.Feed != "":
		return "feed " + s.Feed
	case s.CheckFile != "":
		return "check " + s.CheckFile
	case s.StartServer != nil:
		return "start server " + string(s.StartServer)
	}
	return "step"
}

func quoteArgs(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsAny(a, " \n\"") {
			quoted[i] = fmt.Sprintf("%q", a)
		}
	}
	return strings.Join(quoted, " ")
}
