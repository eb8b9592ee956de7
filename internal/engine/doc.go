// Package engine keeps the replicated state on disk: Pebble, its key spaces and
// its comparer.
//
// It owns the encoding of stored keys, the batches that change them, consistent
// readers, flushing and the space that files take. It knows nothing of what the
// values mean.
//
// There is exactly one writer, package fsm. The engine has no write-ahead log:
// the raft log is the point of durability. Memtables are flushed in the order in
// which batches were committed, so what a crash leaves is a prefix of the
// batches. This holds only as long as nothing is ever ingested into, or excised
// from, a live engine.
//
// The store under an Engine can be exchanged while it is read: OpenNext, Adopt.
// Iterators and snapshots count as users of the store that they were opened on.
//
// Goroutines: Pebble's own for flushes and compactions, and one for each store
// that was replaced, until it is closed and removed; they end with Close.
package engine
