package sim

import (
	"bowline/internal/node"
	"bowline/internal/server"
	"bowline/internal/wal"
	"bowline/internal/watch"
)

// bug is a fault that is planted to see whether it is found. The zero value is none.
type bug struct {
	name string
	// adjust makes the plan one under which the bug would do harm.
	adjust func(*plan)
	// atOpen may change the engine of a member that starts again, atStart what its log has told.
	atOpen  func(*life) error
	atStart func(*life, *wal.Recovered)
	// history and node may stand before what watchers read, and before what answers reads.
	history func(watch.History) watch.History
	node    func(*node.Node) server.Node
}

func (b *bug) historyOf(l *life) watch.History {
	if b.history != nil {
		return b.history(l.fsm.Store())
	}
	return l.fsm.Store()
}

func (b *bug) nodeOf(n *node.Node) server.Node {
	if b.node != nil {
		return b.node(n)
	}
	return n
}
