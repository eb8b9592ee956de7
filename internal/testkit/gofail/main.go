// Command gofail builds etcd, etcdctl and whatever else its arguments name into the
// directory that is its first one, with failpoints that work.
package main

import (
	"fmt"
	"os"

	"bowline/internal/testkit"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: gofail directory command...")
		os.Exit(2)
	}
	if err := testkit.BuildFailpoints(os.Args[1], os.Args[2:]...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
