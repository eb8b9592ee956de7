// Package console drives the console in a browser, against members that run as
// processes: a person's session with keys, a member that dies and comes back, a
// read-only user over TLS, every view in every width and colour.
//
// Its tests have the build tag browser (make browser), and need chromium in PATH. Each
// ends by asking whether the page has reported an error or asked any other server.
//
// BOWLINE_SCREENSHOTS names a directory into which pictures of the views go.
package console
