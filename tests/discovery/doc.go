// Package discovery tests the programs that find a cluster in DNS, `etcd gateway start`, `etcd grpc-proxy start` and
// etcdctl, all with --discovery-srv, against members with and without TLS. Programs ask the system's resolver: here, in
// one process with them, that is a name server of the test.
package discovery
