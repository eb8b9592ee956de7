// Package mvcc is the versioned key space: revisions, versions, ranges,
// transactions, compaction, counts and hashes, over the engine's key spaces.
//
// A version is (key, main, sub). A read at revision R sees, of each key, the
// newest version with main <= R, unless that is a deletion. What is stored is
// the encoded mvccpb.KeyValue, so an answer is spliced from stored bytes.
//
// A Store has one writer, package fsm: it opens a Group, applies requests to it,
// commits the group's batch together with its own records, and calls Publish.
// Readers open a View and may do so from any goroutine.
//
// The package starts no goroutines. It has no clock and no randomness: what it
// writes is a function of what is stored and what is asked. Compaction and the
// splitting of count leaves happen in small steps that the writer asks for.
package mvcc
