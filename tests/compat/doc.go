// Package compat drives our server with programs that others have written, as
// their users do.
//
// The official Go client runs in every go test: its own recipes (sessions,
// mutexes, elections, software transactions), its wrappers (leasing, namespace,
// mirror, ordering, naming, kubernetes) and its streams.
//
// Debian's etcdctl 3.4, and its server as a reader of our snapshots, run behind
// the build tag "debian", as they are not there on every machine:
//
//	go test -tags debian ./tests/compat
//
// Variables name other programs than ./cmd/etcd and those in PATH:
// BOWLINE_ETCD, BOWLINE_DEBIAN_ETCDCTL, BOWLINE_DEBIAN_ETCD, and
// BOWLINE_OTHER_ETCD for the other members of mixed clusters (etcd 3.7, say).
package compat
