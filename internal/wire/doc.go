// Package wire builds and reads, by hand, the few protobuf messages that are
// stored or sent often enough for the generic codec to be felt: mvccpb.KeyValue,
// response headers, and answers that are spliced from stored bytes.
//
// What it produces is byte for byte what the generic codec would: proto3, fields
// in ascending order, zero values left out. It starts no goroutines; nothing in
// it may be used by two goroutines at once, except the package's chunk pool.
package wire
