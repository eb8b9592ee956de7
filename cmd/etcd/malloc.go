//go:build !cgo || !linux

package main

// useLessMalloc has nothing to do where the engine does not use C's allocator.
func useLessMalloc() {}
