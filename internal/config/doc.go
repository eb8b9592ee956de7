// Package config is the one table of settings of the server, and what comes from
// it: flags, environment variables, the configuration file, the help texts, the
// checks, and the plain struct that the parts of a member are built from.
//
// # What it owns
//
// A setting is one row: name, group, default, where its value goes, help, its key
// in a file, its former names, and why it has no effect where that is so. The rows are in
// rows_*.go, by the groups of the help text. Rules that concern several settings
// are in check.go, values that follow from others in derive.go.
//
// # The way of a value
//
//	defaults of the rows
//	   |        command line, then environment        (no --config-file)
//	   +------> or the file alone
//	              |
//	            derive: what depends on what was left at its default
//	              |
//	            check: the first rule that is broken
//	              |
//	            Config
//
// # What it does not do
//
// It opens no socket, resolves no name, writes no log and ends no process: Parse
// returns the lines to be logged, and an error that tells the exit code. It reads
// one file, the one that --config-file names. It starts no goroutines.
//
// # What callers must not do
//
// Modify a Config: parts keep what they were given. Look at flags or the
// environment themselves.
package config
