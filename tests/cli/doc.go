// Package clitest replays recorded command-line sessions of etcd's tools
// against ours, and reports every difference.
//
// A recording (testdata/*.json) starts servers, runs commands one after the
// other, and states what each must print and how it must end. The texts hold
// placeholders: <<member_id>> is bound where it is first seen and must be the
// same afterwards, <<duration>> is any duration. Files that begin with own_ are
// of what only we have; own_member_auto_promote needs our server. The table in
// replay_test.go says which recordings run and why the others wait.
//
// The programs are built from this module. Three variables change that:
//
//	BOWLINE_ETCD=PATH        use this server instead of ./cmd/etcd
//	BOWLINE_ETCDUTL=PATH     use this tool instead of ./cmd/etcdutl
//	BOWLINE_RECORDINGS=all   also run the recordings that wait
//
// To run one: go test ./tests/cli -run 'TestRecordings/v3_lease$' -v
package clitest
