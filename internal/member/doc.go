// Package member builds the parts of one member, starts them in order and stops
// them in the opposite one. Nothing but package embed and the commands sees it.
//
// Goroutines: what its parts document, the listeners' own, and keepHouse, which
// flushes the engine when the member is idle and cuts the log below what has been
// flushed. Stop ends and awaits all of them.
package member
