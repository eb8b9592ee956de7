// Package transfer moves the whole state of a member to another, which is so far
// behind that the log does not reach back to it, and puts it in the place of the
// other's own.
//
//	leader                                              follower
//	checkpoint of the engine (States)
//	Sender.Send ── offer: raft's message, files ──────► Receiver: what it lacks
//	            ── chunks of files, checked ──────────► incoming-<index>-<offer>
//	            ── complete ──────────────────────────► all checked and synced: engine-<index>-<offer>, raft takes the message
//	                                                    log: mark, fdatasync; Installer.Install: pointer file, exchange of the engine
//	            ◄───────────────────────── applied ────
//
// The bytes of it are in docs/format/transfer.md. A member that does not know the
// way is etcd's, and is sent what etcd sends: a database image.
//
// The package owns the directories incoming-*, state-* and engine-* and the pointer
// file ENGINE of the member's directory; see Dirs. It does not own the log: that it
// keeps what the receiver will ask for next is asked of Config.HoldLog.
//
// Goroutines: none of its own. Send works in its caller's, Receiver in the HTTP
// server's, Install in the node's wal goroutine.
package transfer
