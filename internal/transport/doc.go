// Package transport is how members talk to each other: etcd's peer protocol over HTTP, which docs/format/peer.md describes.
// It moves raft's messages and knows which peer can be reached. It does not know what messages mean beyond what decides
// their way, does not own the listener, and leaves the moving of whole states to Config.SendSnapshot.
//
// # Ways
//
// Each member asks each other one for two streams, over which the other sends: one for entries (MsgApp), one for all else.
// While a stream is not there its messages go by POST. So heartbeats and votes do not wait behind entries; and where they
// share a stream with forwarded proposals, they overtake what waits.
//
// # Goroutines
//
// For each peer two readers, which dial and dial again, and a prober; up to four senders of POSTs while there are any, and
// at most one snapshot. All end with RemovePeer or Stop, which waits for them. A stream's writer is the goroutine of the
// HTTP server that handles the request. A Network, the transport of tests and simulations, has no goroutines.
//
// # What callers must not do
//
// Messages given to Send must not be changed any more: they are encoded later. The methods of Raft must not block.
package transport
