// Package v2test plays recorded exchanges of API v2 against our server and reports
// every difference. They were recorded from etcd 3.4.23.
//
// A file of testdata says what it needs (members, flags), then lists requests with the
// answers wanted, watches, pauses, and members that end and come back. Answers hold
// placeholders: <<idx+4>> is the store's index four changes after the file's begin,
// <<var:x>> a value saved earlier, <<expiration>> any time.
//
// The server is built from this module; BOWLINE_ETCD=PATH uses another one. To run one:
// go test ./tests/conformance/v2 -run 'TestExchanges/keys_cas$' -v
package v2test
