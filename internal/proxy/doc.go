// Package proxy is `etcd grpc-proxy start`: it stands between many clients and a cluster, and asks the cluster once for
// what many of them ask.
//
//   - Watches of the same range by the same caller share one watch of the cluster (group, share). One that begins in the
//     past, or whose client has read too slowly, has a stream of its own until it has caught up, and joins the others then.
//   - Requests to keep the same lease alive that meet are one (keeper).
//   - What was read is remembered for serializable reads of callers without a token (cache).
//
// Every other call is passed on as it is (forwarder). A caller's token goes with all that is asked on its behalf: the
// cluster decides who may what.
//
// Serve owns all goroutines of the proxy and waits for them. What is kept for a client is bounded: who does not read has
// a queue that stops growing, and is caught up later from the cluster's history.
package proxy
