package node

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
	"go.uber.org/zap"
)

// diskWatch notices that a write of the log does not come to its end. Heartbeats go on
// meanwhile, since no write is waited for by the raft goroutine; but nothing would be
// durable here before a leader acknowledges it elsewhere, and who stalls once often
// fails soon. So a leader hands its leadership over.
type diskWatch struct {
	stalled    bool
	handedOver time.Time
}

// checkDisk is called with each tick.
func (l *loop) checkDisk(now time.Time) {
	n, w := l.node, &l.disk
	limit := n.cfg.TickInterval * time.Duration(n.cfg.ElectionTicks)
	began := n.writing.Load()
	took := time.Duration(0)
	if began != 0 {
		took = now.Sub(time.Unix(0, began))
	}
	switch stalled := took >= limit; {
	case stalled && !w.stalled:
		w.stalled = true
		n.stalls.Add(1)
		n.cfg.Logger.Error("the disk of the log is stalled: a write has not ended", zap.Duration("took", took))
	case !stalled && w.stalled:
		w.stalled = false
		n.cfg.Logger.Warn("the disk of the log works again")
	}
	if !w.stalled || l.soft.RaftState != raft.StateLeader || now.Sub(w.handedOver) < limit {
		return
	}
	if to := l.bestFollower(); to != raft.None {
		w.handedOver = now
		n.cfg.Logger.Warn("handing leadership over because the disk of the log is stalled", zap.Uint64("to", to))
		l.raft.TransferLeader(to)
	}
}

// bestFollower is the voter in touch that has most of the log, None if there is none.
func (l *loop) bestFollower() (best uint64) {
	var match uint64
	l.raft.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		if id != l.node.cfg.ID && kind == raft.ProgressTypePeer && p.RecentActive && p.Match >= match {
			best, match = id, p.Match
		}
	})
	return best
}

// DiskStalls counts the writes of the log that took longer than an election timeout;
// stalled tells that one is under way.
func (n *Node) DiskStalls() (count int64, stalled bool) {
	began := n.writing.Load()
	limit := n.cfg.TickInterval * time.Duration(n.cfg.ElectionTicks)
	return n.stalls.Load(), began != 0 && time.Since(time.Unix(0, began)) >= limit
}
