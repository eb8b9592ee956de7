// Package gateway plays a session with the JSON gateway: what etcd's documentation
// shows of it, and every call at least once.
//
// testdata/session.json has the requests and what etcd 3.7.1 answered to them, on a
// member with an empty directory. $token stands for the token that a request before
// has got. Compared are status, headers that tell something, and bodies as JSON: the
// library that writes them changes spaces by chance. IDs of members, sizes and the
// remaining time of leases are not compared.
package gateway
