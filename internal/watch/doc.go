// Package watch brings committed changes to the streams that watch them.
//
// # What it owns
//
// A Hub holds the feed, which is the events of the last revisions, bounded in
// bytes, and the index from keys to watchers. A Stream is one client's stream:
// its watchers, and a bounded queue of references to events in the feed. An
// event is encoded once, whoever it goes to; its previous value is fetched at
// most once, and only if somebody wants it.
//
// It does not own history: what the feed no longer holds is read through the
// History interface. It does not know gRPC, users or permissions: package rpc
// does, and answers a watch that it does not allow with Stream.Refuse.
//
// # The way of an event
//
//  1. The state machine calls Hub.Publish with the events of a revision. That
//     appends to the feed and wakes the hub's goroutine if anybody watches.
//  2. Hub.dispatch looks up who watches each key and puts a reference into the
//     queue of each of their streams, then wakes each stream once.
//  3. Stream.Next, called by the stream's sender, takes all that waits for one
//     watcher and makes one Response of it, which Response.Encode turns into a
//     fresh head and the shared bytes of the events.
//
// # The states of a watcher
//
//	          a start revision that the hub has passed
//	Create ----------------------------------------+
//	  |                                            v
//	  |          queue full, pushed out of     +--------+
//	  +------+   the feed, engine replaced     | behind | waits for the reader
//	         |   +---------------------------->|        | to have taken the rest
//	         v   |                             +--------+
//	      +--------+                             |    ^
//	      |  live  |             Next has room   |    | a batch was read, but
//	      |        |                             v    | the hub is further
//	      +--------+                           +----------+
//	           ^      nothing is missing       | catching | Next reads the feed
//	           +-------------------------------|          | or the history
//	                                           +----------+
//	any state --- Cancel, Close, compacted ---> closed
//
// Only live watchers are given events by the hub. A watcher's next is the lowest
// revision that it may still be given: for a live one a floor below which events
// are not for it, for the others the place where catching up goes on. Since only
// Next catches up, a reader who does not read costs its bounded queue and
// nobody's time.
//
// # Order
//
// Within a watcher events come by revision, then sub-revision, without gap or
// duplicate. The events of one revision travel in one response, unless fragments
// were asked for. Next takes only what lies at or below Hub.pos, which moves when
// a whole group of revisions has been handed out, so it never sees half a
// revision. A progress revision R is sent only when no watcher that it speaks for
// has anything at or below R waiting.
//
// # Goroutines and locks
//
// Hub.Run is the one goroutine, started and ended by the owner of the hub.
// Locks are taken in this order: Hub.mu, Stream.mu, then feed.mu or stretches.mu. No
// lock is held while history is read; those who want the same previous value or
// the same stretch of history wait for the one who reads it.
//
// # What callers must not do
//
// Call Publish from two goroutines, or with revisions out of order, or modify
// published events. Call Next of one stream from two goroutines, or use a Response
// after the following call of Next. Forget Close.
package watch
