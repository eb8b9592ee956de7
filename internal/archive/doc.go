// Package archive keeps what a member has agreed to somewhere else, so that a data
// directory can be built of it as it was at any moment.
//
// An archive is a Store with pieces: checkpoints, which are snapshots of etcd's
// format, and stretches of the log behind them. docs/format/archive.md draws every
// byte. Archiver, in the running member, adds pieces; Restore and Verify read them,
// and trust nothing in them.
//
// The Archiver has one goroutine, that of Run, and a second one while a checkpoint is
// being written; Run waits for it.
package archive
