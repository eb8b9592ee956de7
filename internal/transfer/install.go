package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"bowline/internal/engine"
	"bowline/internal/fsm"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Installer is a node's node.SnapshotTransfer.
type Installer struct {
	Dirs   Dirs
	Engine *engine.Engine
	FSM    *fsm.FSM
	// Applied, if not nil, is told how far the state has come with an installation.
	Applied func(index uint64)
	Logger  *zap.Logger

	installing atomic.Int64
	durable    atomic.Pointer[raftpb.SnapshotMetadata]

	mu        sync.Mutex    // guards installed
	installed chan struct{} // closed, and replaced, by each installation
}

// WaitApplied waits until a state up to index is installed.
func (i *Installer) WaitApplied(ctx context.Context, index uint64) error {
	for {
		next := i.nextInstalled()
		if i.FSM.Applied() >= index {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// nextInstalled is closed by the next installation.
func (i *Installer) nextInstalled() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.installed == nil {
		i.installed = make(chan struct{})
	}
	return i.installed
}

func (i *Installer) tellInstalled() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.installed != nil {
		close(i.installed)
		i.installed = nil
	}
}

// Durable tells the position of what the engine has flushed, which is the least that a
// state made from now on will hold. It must be told before the log is released up to
// there, and once before the node starts.
func (i *Installer) Durable(at fsm.Position, conf *raftpb.ConfState) {
	i.durable.Store(&raftpb.SnapshotMetadata{Index: &at.Index, Term: &at.Term, ConfState: conf})
}

// Installing is how many states are being installed.
func (i *Installer) Installing() int64 { return i.installing.Load() }

// Snapshot implements node.SnapshotTransfer. The state itself is made when the message
// is sent; see Sender.
func (i *Installer) Snapshot() (*raftpb.Snapshot, error) {
	at := i.durable.Load()
	if at == nil || at.GetIndex() == 0 {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{Metadata: at}, nil
}

// Install implements node.SnapshotTransfer: the state has been received whole, and the
// log is marked.
func (i *Installer) Install(s *raftpb.Snapshot) error {
	i.installing.Add(1)
	defer i.installing.Add(-1)
	index, term := s.GetMetadata().GetIndex(), s.GetMetadata().GetTerm()
	dir, err := i.Dirs.find(complete{index, term})
	if err != nil {
		return fmt.Errorf("transfer: the state of entry %d is not there: %w", index, err)
	}
	i.Logger.Info("applying snapshot", zap.Uint64("current-applied-index", i.FSM.Applied()),
		zap.Uint64("incoming-leader-snapshot-index", index), zap.Uint64("incoming-leader-snapshot-term", term))
	// gofail: var applyBeforeOpenSnapshot struct{}
	next, err := i.Engine.OpenNext(dir)
	if err != nil {
		return err
	}
	// gofail: var applyAfterOpenSnapshot struct{}
	at, err := fsm.ReadApplied(next, false)
	if err == nil {
		err = samePosition(at, index, term)
	}
	if err != nil {
		return errors.Join(err, next.Close())
	}
	recorded := false
	err = i.FSM.Replace(next, func() error {
		// gofail: var transferBeforeSwap struct{}
		err := i.Dirs.setCurrent(dir)
		// gofail: var transferAfterSwap struct{}
		recorded = err == nil
		return err
	})
	if err != nil && !recorded {
		return errors.Join(err, next.Close())
	}
	if err != nil {
		return err
	}
	i.Durable(at, s.GetMetadata().GetConfState())
	if i.Applied != nil {
		i.Applied(index)
	}
	i.tellInstalled()
	i.Logger.Info("applied snapshot", zap.Uint64("current-applied-index", index), zap.String("dir", dir))
	return nil
}
