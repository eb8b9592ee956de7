// Package admission decides what a member can afford: it watches the memory that the
// process uses, and counts what each user costs. It refuses nothing by itself: whoever
// serves a request asks. Neither exists in etcd, and both are off unless they are set.
//
// It starts no goroutines; Memory.Run is one for its caller to start.
package admission
