// Package security attacks a member that runs in the test's own process, in the ways
// that are known of etcd, and checks that nobody gets what is not theirs.
//
//   - access_test.go, gateway_access_test.go, paths_test.go: every call, every call as JSON and every
//     HTTP path, by callers of every kind.
//   - attack_auth_*_test.go: users, roles, tokens.
//   - attack_tls_*_test.go: certificates and handshakes; attack_http_*_test.go: requests that
//     are slow, endless or too long; limits_*_test.go: each limit, from both sides.
package security
