// Package ctl is etcdctl for API v3: the command line, the connection, and one
// file for each command.
//
// A command is an options struct with flags and a method
//
//	run(ctx context.Context, env *Env, args []string) error
//
// It checks its arguments first, then calls env.connect, which applies the
// environment, prompts for passwords and makes the client, then talks to the
// server, and hands a cli.Result to the printer. Env holds everything that a
// command may touch besides its arguments, so a test runs one without a
// process. Nothing here calls os.Exit, reads os.Stdin or looks at os.Environ.
//
// Exit codes are those of package cli. Errors without a code exit with 1.
package ctl
