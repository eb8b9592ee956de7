// Package conformance plays recorded conversations in etcd's v3 gRPC API
// against our server, and reports every difference to what etcd answered.
//
// A scenario (testdata/v3/*/*.json) is a list of steps: calls, and streams that
// are opened, sent to and read from. Each has a server and an empty directory of
// its own. Requests and answers are written as JSON with the field names of the
// .proto files; bytes are plain text, "base64:..." or "repeat:1000:x".
//
// Some need a cluster ("members": 3): they lie in testdata/v3/members, are ours,
// and hold what etcd 3.7.1 answered to them. "at": 2 sends a call to the second
// member, whose own values are called $member_2 and so on.
//
// Everything is compared: all fields of all answers, gRPC codes and messages.
// What differs from run to run is replaced before that:
//
//	"rev 7"         a header with this revision, the server's IDs and some term
//	"$name"         a value bound earlier: IDs, tokens, the server's name and URLs
//	"$size" ...     $size, $index, $term and $hash only have to be there
//	"~59"           may be off by two (what is left of a lease)
//
// Lists without an order are sorted. Streams that a server may cut into messages
// as it likes are compared by what the messages add up to, and by the rules that
// every cut must keep (judge_test.go).
//
// The table in scenarios_test.go says which directories run and why others wait.
// Two variables change what runs:
//
//	BOWLINE_ETCD=PATH        use this server instead of ./cmd/etcd
//	BOWLINE_RECORDINGS=all   also run the scenarios that wait
//
// To run one: go test ./tests/conformance -run 'TestScenarios/kv/put-get$' -v
package conformance
