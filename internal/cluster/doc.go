// Package cluster is the replicated list of members: who they are, where they
// are reached, and how the list may change.
//
// A View is immutable; applying a change returns the next one. The package does
// no input or output, starts no goroutines and has no clock.
package cluster
