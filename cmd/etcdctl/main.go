// Command etcdctl is the command-line client.
package main

import (
	"context"
	"os"

	"bowline/internal/cli/ctl"
	"bowline/internal/cli/ctlv2"
)

func main() {
	if os.Getenv("ETCDCTL_API") == "2" {
		os.Exit(ctlv2.Run(context.Background(), ctlv2.OSEnv(), os.Args[1:]))
	}
	os.Exit(ctl.Run(context.Background(), ctl.OSEnv(), os.Args[1:]))
}
