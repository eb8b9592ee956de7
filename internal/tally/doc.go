// Package tally counts durations and sizes for the metrics, at a cost that the
// path of every request can bear: a few nanoseconds and no allocation. It knows
// nothing of Prometheus: whoever is asked for metrics turns a Snapshot into them.
//
// It starts no goroutines. A Histogram may be used by any number of them.
package tally
