// Package lease knows which leases there are and, on the leader, when they expire.
//
// # What it owns
//
// Table is the replicated fact: ID, granted TTL and, if a checkpoint recorded one,
// remaining TTL. The state machine is its only writer and keeps each lease's record
// in the engine as well; Append and Parse are that record.
//
// Keeper is the leader's clock. It names what is due and answers renewals. It is
// not replicated: a new leader starts with every lease's remaining TTL, plus an
// extension for what clients could not do while there was no leader.
//
// It does not know which keys are attached to a lease: those are engine records,
// which the state machine deletes when a revocation is applied. It proposes
// nothing; package server scans, proposes revocations, and forwards renewals to
// the leader.
//
// # The life of a lease on the leader
//
//	Track          the deadline passes        Expired names it
//	 ----> running -------------------> expired -------------> named
//	         ^  |                          ^                    |
//	         +--+ Renew                    +--------------------+
//	                                         after the retry time
//
//	any --- Forget: its revocation was applied ---> gone
//	any --- Demote ---> gone
//
// An expired lease cannot be renewed, although it is still there: who tries is
// given a channel that is closed when it is gone.
//
// # Goroutines and locks
//
// None are started. Table and Keeper may be used from any goroutine; each has one
// lock, and Keeper's is taken before Table's (in Promote).
//
// # What callers must not do
//
// Write to Table outside the state machine. Forget to call Track and Forget on
// every member: they do nothing unless the keeper was promoted. Call Keeper.Promote
// with leases that were collected before: it must read them itself, or a lease
// granted meanwhile would never expire.
package lease
