package member

import (
	"context"
	"time"

	"bowline/internal/fsm"
	"bowline/internal/wal"

	"go.uber.org/zap"
)

const (
	// houseInterval is how often keepHouse looks around.
	houseInterval = 5 * time.Second
	// idleFlushBytes is how much must be unflushed for a member to flush that has
	// applied nothing for idleTime.
	idleFlushBytes = 256 << 10
	idleTime       = 30 * time.Second
	// cutEvery is how many entries must have become durable in the engine before
	// the log is marked and cut again.
	cutEvery = 10_000
)

func (m *Member) onFlush() {
	select {
	case m.flushed <- struct{}{}:
	default:
	}
}

// keepHouse flushes the engine when the member is idle, cuts the log below what the
// engine has flushed, and looks whether descriptors become scarce.
func (m *Member) keepHouse(ctx context.Context) {
	t := time.NewTicker(houseInterval)
	defer t.Stop()
	var fds descriptors
	marked, lastApplied, since := uint64(0), m.fsm.Applied(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.flushed:
			var err error
			if marked, err = m.cutLog(ctx, marked); err != nil {
				if ctx.Err() == nil {
					m.log.Warn("cannot cut the log", zap.Error(err))
				}
			}
		case now := <-t.C:
			fds.look(m.log)
			if applied := m.fsm.Applied(); applied != lastApplied {
				lastApplied, since = applied, now
				continue
			}
			if now.Sub(since) >= idleTime && m.fsm.Unflushed() >= idleFlushBytes {
				if err := m.fsm.StartFlush(); err != nil {
					m.fail(err)
					return
				}
			}
		}
	}
}

// cutLog marks in the log that the engine holds everything up to its durable
// index, and lets go of what nobody needs any more.
func (m *Member) cutLog(ctx context.Context, marked uint64) (uint64, error) {
	durable, err := fsm.ReadApplied(m.engine, true)
	if err != nil {
		return marked, err
	}
	every := uint64(cutEvery)
	// gofail: var logCutEvery int
	// every = uint64(logCutEvery)
	if durable.Index < marked+every {
		return marked, nil
	}
	conf := m.fsm.Members().ConfState()
	m.states.Durable(durable, conf)
	first, err := m.node.ReleaseLog(ctx, wal.Snapshot{Index: durable.Index, Term: durable.Term, ConfState: conf})
	if err != nil {
		return marked, err
	}
	m.log.Debug("compacted Raft logs", zap.Uint64("compact-index", durable.Index), zap.Uint64("first-index", first))
	return durable.Index, nil
}
