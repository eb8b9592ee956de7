// Package auth is who may do what: users, roles and permissions as one immutable
// value, Rules, and what proves that a caller is a user: passwords and tokens.
//
// Rules.Apply makes the next rules out of a request from the log; it is a function
// of the two alone. Package fsm stores what it changes. EachNeed lists what a
// request needs, and Rules.Check asks for it: before a proposal, when it is applied,
// at each read and at each watch's creation alike.
//
// Passwords are hashed and compared by Passwords, never while entries are applied.
// Tokens are SimpleTokens, which are assigned through the log and kept in memory by
// every member, or JWT, which prove themselves.
//
// Goroutines: none. Whoever has SimpleTokens must call Expire from time to time.
package auth
