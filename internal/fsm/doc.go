// Package fsm applies committed entries, in order, to all replicated state: keys,
// leases, alarms, members, users. It is the only writer of the engine.
//
// Apply is a function of (state, entry): no clock, no randomness, no map order and
// no setting of this member changes what it writes, except the minimum lease TTL,
// as in etcd. What needs a clock enters as a proposal.
//
// Entries are applied in groups; a group is one engine batch that also holds the
// applied index and term. Once it is committed the FSM publishes, in this order:
// the new revision to readers, the events to watchers, the results to those who
// wait. Refusals (key not found, space exceeded) are results like others, the same
// on every member, and advance the applied index.
//
// Goroutines: one, the compactor, between Start and Stop. It removes old versions
// in small batches between groups; mu keeps the two apart. A caller must not call
// Apply from two goroutines.
package fsm
