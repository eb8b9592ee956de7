// Package discovery finds the members of a cluster that is being founded where nobody
// wrote them down: SRV asks DNS, Join another etcd, where each member registers under a
// token that all of them were given, and waits for the others. Both answer with what
// --initial-cluster would say.
//
// What is read comes from strangers and is bounded; every wait ends with its context.
// No goroutine outlives a call.
package discovery
