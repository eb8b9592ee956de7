// Package proxy tests the ways into a cluster that are no members of it, as processes beside real members: `etcd
// grpc-proxy start`, with what it saves the cluster, `etcd gateway start`, and the client library's resolver and its
// register of endpoints. The recorded conversations are played through the proxy by tests/conformance.
package proxy
