// Package recent remembers, in a bounded room, what a member was asked lately that an
// operator wants to see: the latest slow requests, and which keys are asked for most.
//
// It starts no goroutines. Requests may be used by any number of them.
package recent
