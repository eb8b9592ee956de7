// Package testkit runs whole programs for tests: it builds the commands of this
// module, hands out ports, and starts, watches and ends servers.
//
// It starts processes and never imports a part of the member, so that a test
// written with it can be pointed at any server that takes etcd's flags.
package testkit
