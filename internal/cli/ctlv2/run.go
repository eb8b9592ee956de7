package ctlv2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// version is the version of etcd whose client this is compatible with.
const version = "3.7.1"

// Exit codes, which scripts test for.
const (
	exitOK            = 0
	exitUsage         = 1
	exitConnection    = 2
	exitUnknown       = 3
	exitServer        = 4
	exitClusterHealth = 5
)

// command is one command, or a group of them.
type command struct {
	name, args, usage string
	options           []option
	run               func(*session, []string) error
	parts             []command
	raw               bool // it splits its arguments at -- itself
}

// failure is an error that decides how the process ends. Bare ones are shown without
// "Error:".
type failure struct {
	code int
	err  error
	bare bool
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usageError(text string) error { return &failure{exitUsage, errors.New(text), false} }
func bare(err error) error {
	var f *failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	return &failure{exitUsage, err, true}
}
func bareText(text string) error { return bare(errors.New(text)) }

// Run executes one command line, without the program's name, and returns the exit
// status.
func Run(ctx context.Context, env *Env, args []string) int {
	global, rest, err := parse(globalOptions(), args, false)
	if err != nil {
		fmt.Fprintf(env.Out, "Incorrect Usage. %v\n\n", err)
		showAll(env.Out)
		fmt.Fprintln(env.Err, err)
		return exitUsage
	}
	switch {
	case global.on("version"):
		fmt.Fprintf(env.Out, "etcdctl version: %s\nAPI version: 2\n", version)
		return exitOK
	case global.on("help") || len(rest) == 0:
		showAll(env.Out)
		return exitOK
	}
	s := &session{ctx: ctx, env: env, global: global}
	return s.dispatch("etcdctl", commands(), rest)
}

// dispatch finds the command that is meant and runs it.
func (s *session) dispatch(path string, among []command, args []string) int {
	name, rest := args[0], args[1:]
	if name == "help" || name == "h" {
		return s.help(path, among, rest)
	}
	at := slices.IndexFunc(among, func(c command) bool { return c.name == name })
	if at < 0 {
		fmt.Fprintf(s.env.Err, "No help topic for '%s'\n", name)
		return exitUnknown
	}
	c := &among[at]
	path += " " + name
	if c.raw {
		var behind []string
		if i := slices.Index(rest, "--"); i >= 0 {
			rest, behind = rest[:i], rest[i+1:]
		}
		s.behind = behind
	}
	options := slices.Concat(c.options, []option{opt("help,h", flagOption, "", "show help")})
	v, rest, err := parse(options, rest, len(c.parts) == 0)
	switch {
	case err != nil:
		fmt.Fprintf(s.env.Out, "Incorrect Usage: %v\n\n", err)
		showCommand(s.env.Out, path, c)
		fmt.Fprintln(s.env.Err, err)
		return exitUsage
	case v.on("help") || c.parts != nil && len(rest) == 0:
		showCommand(s.env.Out, path, c)
		return exitOK
	case c.parts != nil:
		return s.dispatch(path, c.parts, rest)
	}
	s.options = v
	return s.report(c.run(s, rest))
}

func (s *session) help(path string, among []command, args []string) int {
	if len(args) == 0 {
		showAll(s.env.Out)
		return exitOK
	}
	at := slices.IndexFunc(among, func(c command) bool { return c.name == args[0] })
	if at < 0 {
		fmt.Fprintf(s.env.Err, "No help topic for '%s'\n", args[0])
		return exitUnknown
	}
	showCommand(s.env.Out, path+" "+args[0], &among[at])
	return exitOK
}

// report ends a run.
func (s *session) report(err error) int {
	if err == nil {
		return exitOK
	}
	code, isBare := exitServer, false
	var f *failure
	if errors.As(err, &f) {
		code, isBare = f.code, f.bare
		if f.err == nil {
			return code
		}
	}
	if isBare {
		fmt.Fprintln(s.env.Err, err)
		return code
	}
	fmt.Fprintln(s.env.Err, "Error: ", err)
	var unavailable *clusterError
	if errors.As(err, &unavailable) {
		fmt.Fprintln(s.env.Err, unavailable.detail()) // the text above ends in an empty line
	}
	return code
}

func commands() []command {
	ttl := opt("ttl", numberOption, "0", "seconds that the key lives")
	sorted := opt("sort", flagOption, "", "order the answer")
	quorum := opt("quorum,q", flagOption, "", "read through a quorum")
	recursive := opt("recursive,r", flagOption, "", "with all that is below the key")
	after := opt("after-index", numberOption, "0", "begin behind this index")
	return []command{
		backupCommand(),
		{name: "cluster-health", usage: "check the health of the cluster", run: clusterHealth,
			options: []option{opt("forever,f", flagOption, "", "check until it is interrupted")}},
		{name: "mk", args: "<key> <value>", usage: "make a key that is not there yet", run: mk,
			options: []option{opt("in-order", flagOption, "", "make a key below the key, named in order"), ttl}},
		{name: "mkdir", args: "<key>", usage: "make a directory that is not there yet", run: mkdir, options: []option{ttl}},
		{name: "rm", args: "<key>", usage: "remove a key or a directory", run: rm, options: []option{
			opt("dir", flagOption, "", "remove an empty directory, too"), recursive,
			opt("with-value", textOption, "", "only if the value is this"), opt("with-index", numberOption, "0", "only if the index is this")}},
		{name: "rmdir", args: "<key>", usage: "remove a key or an empty directory", run: rmdir},
		{name: "get", args: "<key>", usage: "show the value of a key", run: getKey, options: []option{sorted, quorum}},
		{name: "ls", args: "[key]", usage: "list a directory", run: ls, options: []option{
			sorted, recursive, opt("p", flagOption, "", "mark directories with a slash"), quorum}},
		{name: "set", args: "<key> <value>", usage: "set the value of a key", run: setKey, options: []option{ttl,
			opt("swap-with-value", textOption, "", "only if the value is this"), opt("swap-with-index", numberOption, "0", "only if the index is this")}},
		{name: "setdir", args: "<key>", usage: "make a directory", run: setdir, options: []option{ttl}},
		{name: "update", args: "<key> <value>", usage: "change a key that is there", run: update, options: []option{ttl}},
		{name: "updatedir", args: "<key>", usage: "change a directory that is there", run: updatedir, options: []option{ttl}},
		{name: "watch", args: "<key>", usage: "wait for a change of a key", run: watch, options: []option{
			opt("forever,f", flagOption, "", "watch until it is interrupted"), after, recursive}},
		{name: "exec-watch", args: "<key> -- <command> [args...]", usage: "run a command at each change of a key", run: execWatch, raw: true,
			options: []option{after, recursive}},
		{name: "import", usage: "set the keys of a snapshot file of etcd", run: importSnap,
			options: []option{opt("snap", textOption, "", "the file"), opt("hidden", listOption, "", "a hidden key to be imported, too")}},
		memberCommands(), userCommands(), roleCommands(), authCommands(),
	}
}

// showAll is the help of the program.
func showAll(out io.Writer) {
	fmt.Fprint(out, "NAME:\n   etcdctl - a command line client for etcd, API v2\n\nUSAGE:\n"+
		"   etcdctl [global options] command [command options] [arguments...]\n\nVERSION:\n   "+version+"\n\nCOMMANDS:\n")
	showList(out, commands())
	fmt.Fprint(out, "\nGLOBAL OPTIONS:\n")
	showOptions(out, globalOptions())
}

func showCommand(out io.Writer, path string, c *command) {
	fmt.Fprintf(out, "NAME:\n   %s - %s\n\nUSAGE:\n", path, c.usage)
	if c.parts != nil {
		fmt.Fprintf(out, "   %s command [command options] [arguments...]\n\nCOMMANDS:\n", path)
		showList(out, c.parts)
		return
	}
	fmt.Fprintf(out, "   %s [command options] %s\n\nOPTIONS:\n", path, c.args)
	showOptions(out, c.options)
}

func showList(out io.Writer, list []command) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	for i := range list {
		fmt.Fprintf(w, "   %s\t%s\n", list[i].name, list[i].usage)
	}
	fmt.Fprintf(w, "   help, h\tshow help\n")
}

func showOptions(out io.Writer, options []option) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	for i := range options {
		fmt.Fprintln(w, options[i].help())
	}
}

func joined(list []string) string { return strings.Join(list, ",") }
