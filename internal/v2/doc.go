// Package v2 is the tree of API v2 as a replicated state: files and directories with
// times to live, the store's index, the last events, and who watches them. The
// engine's records are the tree; what is in memory is the index, the counters, the
// watchers, and a bounded number of nodes that were changed lately.
//
// Apply is a function of (state, request): the time that events show, and by which
// nodes expire, comes with the request. Only the writer, package fsm, calls Apply and
// Count, Seal when a batch is full, and Publish when it is in the engine. Get, Watch and the
// rest may be called from any goroutine.
//
// The package starts no goroutines. A caller of Watch must call Watcher.Close.
package v2
