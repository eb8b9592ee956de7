// Package peers is what members ask of each other beside raft: who is in the
// cluster, which version runs, what a lease has left, whether a learner may be
// promoted, and what the key space hashes to. It speaks etcd's paths and forms on
// the peer port, so that members of either kind can ask members of the other.
//
// A Client asks, a Handler answers from an API. Both are stateless; every answer
// that is read is bounded, and every wait ends with its context.
package peers
