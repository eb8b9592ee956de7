// Command etcdctl is the command-line client.
package main

import (
	"context"
	"os"

	"bowline/internal/cli/ctl"
)

func main() {
	os.Exit(ctl.Run(context.Background(), ctl.OSEnv(), os.Args[1:]))
}
