// Package server is a request's way through the member: its checks, its
// proposal and the wait for its result, the read index before a linearizable
// read; and what only the leader's clock may do (the expiry of leases).
//
// It holds no state but what is in flight. It asks node to agree, fsm for what was
// applied, mvcc to read. It knows neither gRPC nor HTTP: callers translate.
//
// Goroutines: those of Run, which the caller owns. Methods may be called from any
// goroutine until Run has returned; afterwards they refuse with ErrStopped.
package server
