// Package node is this member's voice in the cluster: it owns the raft state machine, feeds it, and carries out what it
// asks for. Bytes go in through Propose; they come out of the log, committed and in the same order on every member, at
// the Applier. It does not know what the bytes mean, does not own the log's or the engine's files, and does
// not speak to the network: Config.Send takes the messages, Step brings the others'.
//
// # Goroutines
//
// Start starts four, Stop waits for all of them:
//
//	raft    owns the RawNode and all that raft reads; never waits for a disk, a socket or a lock held across one
//	wal     appends what waits, one fdatasync for all of it, then delivers the replies that raft attached
//	apply   hands committed entries to the Applier, in order, several appends' worth at a time
//	reader  reads released entries back from the log for a follower that is behind
//
// Each has one queue: a mutex, a slice, and a wake-up. Everything for raft goes through one, so that a conf change that
// the Applier decided upon comes before the reply that says it was applied.
//
// While the only voter's log write is under way, proposals wait in the inbox and wake nobody: they could not be written
// earlier anyway, and go together when the write is done. With other voters they go at once, since those can
// write them in the meantime. That entries have been applied, raft learns when it is awake anyway, or at the next tick:
// nobody waits for that.
//
// # What callers must not do
//
// Config.Send, Config.OnFatal and the refusal functions given to ProposeAsync are called by these goroutines: they must
// return at once, and must not call Stop. The Applier must not call Propose and wait for the result to be applied. A
// proposal's bytes must not be changed after they have been handed over. After Stop the caller closes the log.
package node
