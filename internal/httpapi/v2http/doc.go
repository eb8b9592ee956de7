// Package v2http serves API v2 over HTTP: keys, members, statistics, and the users and
// roles that guard them. It translates: the tree is package v2's, agreement package
// server's. It starts no goroutines; a watch lives in its request's.
package v2http
