// Package faults treats a real server badly and checks what it has promised.
//
//   - Killed at random moments under load (TestKillLoop): every acknowledged
//     write is there, revisions neither repeat nor go back, watches that resume
//     miss and repeat nothing, and an offline check of the directory is clean.
//   - Bits flipped and tails torn in every class of file: reported with the file,
//     never served.
//   - Killed while it archives (TestArchiveOfAKilledMember): what was put away is
//     restored.
//   - Directories that are not its own, no room on the disk, requests over the
//     limits, and more connections and watches than anybody should open: a clear
//     error or bounded memory.
//
// Variables:
//
//	BOWLINE_KILLS=200   how often TestKillLoop kills the server
//	BOWLINE_ETCD=PATH   use this server instead of ./cmd/etcd
package faults
