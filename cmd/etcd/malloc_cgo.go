//go:build cgo && linux

package main

/*
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>

static void set_malloc(int arenas, int whole) {
	mallopt(M_ARENA_MAX, arenas);
	mallopt(M_MMAP_THRESHOLD, whole);
}
#else
static void set_malloc(int arenas, int whole) {}
#endif
*/
import "C"

import (
	"os"
	"slices"
)

const (
	// mallocArenas is from how many heaps C's allocator serves the threads. It makes up to
	// eight for each processor, and none gives back what another one could use.
	mallocArenas = 2
	// wholeBlock is the size of what is taken from the system, and given back, by itself. The
	// allocator would raise it after the first memtable, and keep holes as large as those.
	wholeBlock = 1 << 20
)

// useLessMalloc bounds what C's allocator keeps of what the engine has freed: its memtables
// and blocks lie there, since Go's collector would count them as its own. Whoever has set
// the allocator up is obeyed. It is to be called before there is much to allocate.
func useLessMalloc() {
	theirs := func(name string) bool { return os.Getenv(name) != "" }
	if slices.ContainsFunc([]string{"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}, theirs) {
		return
	}
	C.set_malloc(mallocArenas, wholeBlock)
}
