// Package wal is the durable log: raft entries, hard states and snapshot marks in segment files, in etcd's format
// (docs/format/wal.md), so that an etcd directory, our own, and etcd's inspection tools share one reader.
//
// It owns the files of one directory and the running checksum that chains their records. It does not own the
// data directory's lock: etcd locks every segment, we hold one lock file for the whole data directory, taken by
// whoever opens the member, and nobody may open a Log without it. It does not know raft either: it keeps what it
// is given, in order, and the rules of who may overwrite what are node's.
//
// A log is written by staging and syncing:
//
//	log.Append(entries, state)   encodes into one buffer; nothing has reached the file
//	log.Append(more, state)      the newest state wins, so many commits cost one record
//	log.Sync()                   one write, one fdatasync; all of the above is durable
//
// A failed write or sync is final: the kernel may have dropped the pages, so the next sync could succeed and mean
// nothing. From then on every call returns that first error, and the member must stop.
//
// The package starts no goroutine. Append, Flush, Sync, MarkSnapshot, Release and Close belong to one writer and must
// not overlap. Entries, FirstIndex, LastIndex and Size may be called by anyone at any time, also during a write; they
// see what has been flushed. A caller must not change an entry's bytes while Append runs, may reuse them after.
//
// # Torn tails and damage
//
// A crash can leave the last, unsynced batch half written. That tail was never acknowledged, and Open cuts it, keeping
// a copy. Everything else that does not add up is damage, and Open refuses it with a *CorruptError rather than
// forget what was promised. etcd cannot always tell the two apart: a flipped bit in a record that happens to contain
// a sector of zeros looks torn. So after each sync our first record is a checksum record, which says "all before me was
// durable when I was written" and which etcd's reader accepts anywhere: where one follows, nothing before it was torn.
package wal
