package exchange

import (
	"context"
	"fmt"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/v2"
	"bowline/internal/wal"

	"go.uber.org/zap"
)

// importOld writes the tree of API v2 that etcd up to 3.5 had at a state's position: that
// of the .snap file which the members come from, and what the log says from there on.
func (t *TakeOver) importOld(ctx context.Context, r *records, e *engine.Engine) error {
	if r.snap.name != "" {
		data, err := t.readSnap(r.snap.name)
		if err == nil {
			err = importOld(data, e)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.snap.name, err)
		}
	}
	replay, err := fsm.NewV2Replay(e, r.snap.members)
	if err != nil {
		return err
	}
	if err := t.eachApplied(ctx, r.snap.index, r.Position.Index, replay); err != nil {
		return err
	}
	st, err := v2.Load(e)
	if err != nil {
		return err
	}
	tree := v2.New(e, st)
	t.Logger.Info("imported the keys of API v2", zap.String("snap", r.snap.name), zap.Uint64("index", tree.Index()))
	return tree.Check()
}

// importOld writes a v2 store into an engine without a tree.
func importOld(data []byte, e *engine.Engine) error {
	b := v2.NewBuilder(e)
	defer b.Close()
	_, err := readTree(data, b)
	return err
}

// eachApplied replays the entries (from, to], which were committed. The log may hold
// others of these indexes before them, so that it is read twice: the last of each counts.
func (t *TakeOver) eachApplied(ctx context.Context, from, to uint64, replay *fsm.V2Replay) error {
	var last []uint64 // by index, which of the entries read it is
	read := uint64(0)
	within := func(e wal.Entry) bool { return e.Index > from && e.Index <= to }
	_, err := wal.Scan(t.logOptions(t.LogDir), func(e wal.Entry) {
		if read++; within(e) {
			last = append(last[:min(e.Index-from-1, uint64(len(last)))], read)
		}
	})
	if err != nil {
		return err
	}
	if uint64(len(last)) != to-from {
		return fmt.Errorf("of the entries %d to %d the log holds %d", from+1, to, len(last))
	}
	read = 0
	var failure error
	_, err = wal.Scan(t.logOptions(t.LogDir), func(e wal.Entry) {
		if failure != nil {
			return
		}
		if failure = ctx.Err(); failure != nil {
			return
		}
		if read++; within(e) && last[e.Index-from-1] == read {
			failure = replay.Apply(e.Type, e.Data)
		}
	})
	if err == nil {
		err = failure
	}
	return err
}
