// Package chaos hurts clusters of real processes while clients work, and checks
// that what the clients were told is true.
//
// The clients put, compare-and-swap, delete and read keys, watch them, and keep
// leases alive. Members are killed, paused, restarted, replaced, cut off from each
// other, slowed down; their clocks jump. In the end every member must show the same
// history, and
//
//   - each key's operations are linearizable (porcupine), writes of unknown outcome
//     included, and in the order of real time across keys;
//   - every acknowledged write is in the history at its revision;
//   - every watcher saw each event once, in order, across its reconnections;
//   - a key whose lease was kept alive did not vanish;
//   - HashKV is equal.
//
// go test runs a short sequence of faults with a proxy between the members. Longer
// runs draw their faults by chance:
//
//	make chaos DURATION=1h        # in network namespaces where the system allows it
//
// Variables:
//
//	BOWLINE_CHAOS=10m        how long TestChaos runs, in rounds
//	BOWLINE_CHAOS_SEED=N     draw the same faults again; timing stays the system's
//	BOWLINE_CHAOS_DEEDS=disk only the faults whose names contain this
//	BOWLINE_CHAOS_MEMBERS=5  how many members TestChaos has, 3 by default
//	BOWLINE_CHAOS_NET=...    "proxy" (the default) or "namespaces" (needs root and ip)
//	BOWLINE_CHAOS_DIR=DIR    where histories and logs go on failure
//	BOWLINE_FAILOVERS=100    how often TestFailover kills the leader
//	BOWLINE_ETCD=PATH        use this server instead of ./cmd/etcd; not in TestChaos, which builds one
//	                         with failpoints, since clocks jump there
package chaos
