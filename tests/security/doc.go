// Package security attacks a member that runs in the test's own process, in the ways
// that are known of etcd, and checks that nobody gets what is not theirs.
//
//   - access_test.go: every call and every HTTP path, by callers of every kind.
//   - attack_auth_*_test.go: users, roles, tokens.
package security
