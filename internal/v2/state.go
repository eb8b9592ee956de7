package v2

import (
	"encoding/binary"
	"errors"
	"fmt"

	"bowline/internal/engine"
)

// Counter is one of the numbers that the store counts of all operations, on every
// member alike.
type Counter int

// The counters, in the order of the answer of /v2/stats/store.
const (
	SetsOK Counter = iota
	SetsFailed
	DeletesOK
	DeletesFailed
	UpdatesOK
	UpdatesFailed
	CreatesOK
	CreatesFailed
	SwapsOK
	SwapsFailed
	ComparedDeletesOK
	ComparedDeletesFailed
	Expired

	counters
)

// HistoryLen is how many events may be asked for. Others before them, less than forgetOnce,
// wait for being removed together.
const (
	HistoryLen = 1000
	forgetOnce = 256
)

// State is what is not in the tree itself.
type State struct {
	// index is that of the last change, and first that of the oldest event which may be
	// asked for, unless newer ones have pushed it out. first is 0 in a state that is not
	// settled: see Settle.
	index, first uint64
	counts       [counters]uint64
	// guarded is read from the tree, not from the state's record.
	guarded bool
}

// oldest is the index of the oldest event that is kept.
func (s *State) oldest() uint64 {
	if s.index < HistoryLen {
		return s.first
	}
	return max(s.first, s.index-HistoryLen+1)
}

// keptFrom is the index from which on events are in the engine when the last is that of an
// index. It depends on nothing else, so that all members have the same.
func keptFrom(index uint64) uint64 {
	if index < HistoryLen {
		return 0
	}
	return (index - HistoryLen + 1) / forgetOnce * forgetOnce
}

func (s *State) encode() []byte { return s.append(nil) }

func (s *State) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.index)
	b = binary.AppendUvarint(b, s.first)
	for _, n := range s.counts {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func (s *State) parse(b []byte) error {
	r := reader{b: b}
	s.index, s.first = r.uint(), r.uint()
	for i := range s.counts {
		s.counts[i] = r.uint()
	}
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%w of the store's index: %x", errDamaged, b)
	}
	return nil
}

// Bootstrap writes the state of a new cluster: each of its first members counts as
// one creation.
func Bootstrap(b *engine.Batch, members int) error {
	s := State{index: uint64(members), first: 1}
	s.counts[CreatesOK] = uint64(members)
	return b.Set(stateKey(), s.encode(), nil)
}

// Load reads the state from e.
func Load(e *engine.Engine) (State, error) {
	s := State{first: 1}
	enabled, err := get(e.Get, EnabledPath)
	if err != nil {
		return s, err
	}
	s.guarded = enabled != nil && enabled.Value == enabledValue
	v, err := e.Get(stateKey())
	if errors.Is(err, engine.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("v2: read the store's index: %w", err)
	}
	return s, s.parse(v)
}
