package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Features are the feature gates.
type Features struct {
	CompactHashCheck             bool
	FastLeaseKeepAlive           bool
	InitialCorruptCheck          bool
	LeaseCheckpoint              bool
	LeaseCheckpointPersist       bool
	PriorityRequest              bool
	SetMemberLocalAddr           bool
	StopGRPCServiceOnDefrag      bool
	TxnModeWriteWithSharedBuffer bool
	// AllAlpha and AllBeta are what was said about the gates of a whole stage.
	AllAlpha, AllBeta bool
}

// gate is a row of the table of feature gates.
type gate struct {
	name  string
	stage string
	on    bool // by default
	to    func(*Features) *bool
	// idle is like that of a setting.
	idle string
}

// Stages of gates. allAlpha and allBeta switch all gates of a stage that were not
// named.
const (
	alpha    = "ALPHA"
	beta     = "BETA"
	allAlpha = "AllAlpha"
	allBeta  = "AllBeta"
)

func gateTable() []gate {
	return []gate{
		{name: "CompactHashCheck", stage: alpha, to: func(f *Features) *bool { return &f.CompactHashCheck },
			idle: "the hashes of compactions are always compared, unless --compact-hash-check-time is 0"},
		{name: "FastLeaseKeepAlive", stage: beta, on: true, to: func(f *Features) *bool { return &f.FastLeaseKeepAlive }},
		{name: "InitialCorruptCheck", stage: alpha, to: func(f *Features) *bool { return &f.InitialCorruptCheck }},
		{name: "LeaseCheckpoint", stage: alpha, to: func(f *Features) *bool { return &f.LeaseCheckpoint },
			idle: "what long leases have left always outlives a change of leader"},
		{name: "LeaseCheckpointPersist", stage: alpha, to: func(f *Features) *bool { return &f.LeaseCheckpointPersist },
			idle: "what long leases have left always outlives a change of leader"},
		{name: "PriorityRequest", stage: alpha, to: func(f *Features) *bool { return &f.PriorityRequest }},
		{name: "SetMemberLocalAddr", stage: alpha, to: func(f *Features) *bool { return &f.SetMemberLocalAddr }},
		{name: "StopGRPCServiceOnDefrag", stage: alpha, to: func(f *Features) *bool { return &f.StopGRPCServiceOnDefrag },
			idle: "defragmenting does not block the member"},
		{name: "TxnModeWriteWithSharedBuffer", stage: beta, on: true,
			to:   func(f *Features) *bool { return &f.TxnModeWriteWithSharedBuffer },
			idle: "transactions have no buffers to share"},
	}
}

// Gate is the state of a feature gate, for the metrics.
type Gate struct {
	Name  string
	Stage string
	On    bool
}

// Gates returns all gates, by name.
func (f Features) Gates() []Gate {
	all := []Gate{{allAlpha, alpha, f.AllAlpha}, {allBeta, beta, f.AllBeta}}
	for _, g := range gateTable() {
		all = append(all, Gate{g.name, g.stage, *g.to(&f)})
	}
	return all
}

// gates holds what was said about gates; it becomes Features when all is said.
type gates struct{ set map[string]bool }

func (g *gates) put(name string, on bool) {
	if g.set == nil {
		g.set = map[string]bool{}
	}
	g.set[name] = on
}

func (g *gates) said(name string) bool {
	_, ok := g.set[name]
	return ok
}

// resolve returns the gates that follow: those named, then those whose stage was
// named, then the defaults.
func (g *gates) resolve() Features {
	f := Features{AllAlpha: g.set[allAlpha], AllBeta: g.set[allBeta]}
	for _, row := range gateTable() {
		on, said := g.set[row.name]
		if !said {
			switch row.stage {
			case alpha:
				on, said = g.set[allAlpha]
			case beta:
				on, said = g.set[allBeta]
			}
		}
		if !said {
			on = row.on
		}
		*row.to(&f) = on
	}
	return f
}

// gateList is the gates with their defaults, for the help text.
func gateList() string {
	var words []string
	for _, g := range gateTable() {
		words = append(words, fmt.Sprintf("%s=%v (%s)", g.name, g.on, g.stage))
	}
	return strings.Join(words, "\n")
}

func knownGate(name string) bool {
	return name == allAlpha || name == allBeta ||
		slices.ContainsFunc(gateTable(), func(g gate) bool { return g.name == name })
}

// gateMap is --feature-gates: Name=bool with commas between them.
type gateMap struct{ to *gates }

func (v gateMap) Set(s string) error {
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, word, ok := strings.Cut(entry, "=")
		name = strings.TrimSpace(name)
		if !ok {
			return fmt.Errorf("missing bool value for %s", name)
		}
		on, err := strconv.ParseBool(strings.TrimSpace(word))
		if err != nil {
			return fmt.Errorf("invalid value of %s=%s, err: %w", name, strings.TrimSpace(word), err)
		}
		if !knownGate(name) {
			return fmt.Errorf("unrecognized feature gate: %s", name)
		}
		v.to.put(name, on)
	}
	return nil
}

func (v gateMap) String() string {
	var words []string
	for name, on := range v.to.set {
		words = append(words, fmt.Sprintf("%s=%v", name, on))
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

func (v gateMap) fromFile(raw json.RawMessage) error { return stringFromFile(raw, v.Set) }

// oneGate is a former flag that is a gate by now.
type oneGate struct {
	to   *gates
	name string
}

func (v oneGate) Set(s string) error {
	on, err := strconv.ParseBool(s)
	if err != nil {
		return errors.New("parse error")
	}
	v.to.put(v.name, on)
	return nil
}

func (v oneGate) String() string {
	return strconv.FormatBool(v.to.set[v.name])
}

func (v oneGate) fromFile(raw json.RawMessage) error {
	var on bool
	if err := json.Unmarshal(raw, &on); err != nil {
		return err
	}
	v.to.put(v.name, on)
	return nil
}

func (v oneGate) IsBoolFlag() bool { return true }
