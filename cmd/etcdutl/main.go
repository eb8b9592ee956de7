// Command etcdutl works on backups and on the data directories of stopped members.
package main

import (
	"context"
	"os"

	"bowline/internal/cli/utl"
)

func main() {
	os.Exit(utl.Run(context.Background(), utl.OSEnv(), os.Args[1:]))
}
