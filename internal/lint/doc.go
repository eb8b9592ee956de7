// Package lint holds the house rules, as an ordinary test over the source of the
// whole module. Each failure says what to do instead. A rule's exceptions stand
// in a table beside it, each with its reason.
package lint
