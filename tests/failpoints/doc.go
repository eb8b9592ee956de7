// Package failpoints tests a cluster of real processes with a crash, and with a delay, at
// each failpoint, while clients write, watch, compact and defragment: nothing that was
// acknowledged may be lost, and all members must have the same hash afterwards.
//
// Variables:
//
//	BOWLINE_FAILPOINTS      all, or the names of failpoints with commas between them; nothing is done without it,
//	                        because a server has to be built for it: see docs/testing.md
//	BOWLINE_FAILPOINT_ETCD  a server that was built so, instead of building one
package failpoints
