// Package audit writes down who did what: one line of JSON for each call, to a file that
// is rotated by size. Values, passwords and tokens are never in it. etcd has nothing of
// the kind, and here it is off unless a file is named.
//
// Nothing is lost in silence. A call waits for room in the buffer before it is answered,
// up to a second, while the disk is slow; what finds none then, or cannot be written, is
// counted, told in the log, and told in the file itself as soon as that can be written.
//
// Open starts one goroutine, which Close ends and awaits. What is written after Close
// is lost, and counted.
package audit
