// Package console is a web page about a member, its cluster and its keys, below
// /console/ on the ports that serve HTTP to clients. The page's files are in the
// program; they ask nobody but the member that served them.
//
// What the page asks goes to the calls that every client uses, within this process and
// with the token that the page has sent: so the same permissions hold. The package has
// no right of its own, keeps nothing but connections to other members, and starts no
// goroutines but those of the connections, which Close ends.
package console
