// Package sim holds nothing but tests: a whole cluster in one process, made of the real parts of a member (node, wal,
// fsm, engine, watch, server, transfer) on fake time, a fake network and memory disks that crash.
//
//	nemesis ──► crashes, cuts, weather, stalls, disk errors, members, leaders, compactions
//	clients ──► server ──► node ──► wal ──► disk (vfs.MemFS: CrashClone)
//	watchers ─► watch hub    │                ▲
//	                         ▼                │ one per member
//	             transport.Network            │
//	witness  ◄── what is sent, applied, published, answered
//
// One seed draws all choices: what clients do, what goes wrong and when, what becomes of each message, how long a disk
// takes, what a crash leaves. Within testing/synctest time moves only when every goroutine waits, so hours cost
// milliseconds. The order in which goroutines run at one instant is Go's: a seed repeats the choices, and nearly always
// the course, but not every interleaving. docs/testing.md tells how to run it and what it has found.
package sim
