// Package ctlv2 is etcdctl with ETCDCTL_API=2: one file for each group of commands,
// over a client of API v2 that knows nothing of gRPC. Options may stand before or
// behind a command's arguments, with one dash or two.
package ctlv2
