// Package certs is TLS: it makes configurations for servers and clients out of the files and rules that the settings
// name, accepts connections, and makes certificates where nobody brought any.
//
// Files are looked at in each handshake and read again when they have changed: certificates are replaced without a
// restart. Whoever connects is judged inside the handshake, by rules that are part of the configuration: no listener
// can leave one out.
//
// A Listener has one goroutine, and one for each handshake under way; Close ends them and waits for them. Nothing else
// here starts any. It does not know what is spoken over a connection.
package certs
