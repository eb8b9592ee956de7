// Package gateway is `etcd gateway start`: it passes TCP connections on to the endpoints of a
// cluster, and knows nothing of what is spoken over them.
//
// Gateway.Serve starts a goroutine that looks after endpoints that failed and two for each
// connection; all have ended when it returns.
package gateway
