// Package exchange writes and reads etcd's own file formats: so far, snapshot
// files, which are a bbolt database with a SHA-256 behind it.
//
// It alone imports bbolt. It starts no goroutines.
package exchange
