// Package cli holds what the three command-line tools share: exit codes, the
// way an error ends a process, and the output formats.
//
// It knows nothing of clients, servers or files on disk; the tools live in the
// folders below, one file a command. It starts no goroutine and keeps no state.
package cli
