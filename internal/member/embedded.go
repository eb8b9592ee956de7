package member

import (
	"fmt"
	"net"
	"net/http"

	"bowline/internal/server"

	"google.golang.org/grpc"
)

// Listeners are the ports of a member that Config.Begun was called with: those for clients, for HTTP alone too, and
// those for other members. They are the member's.
func (m *Member) Listeners() (clients, peers []net.Listener) {
	for _, p := range m.front.clients {
		clients = append(clients, p)
	}
	for _, p := range m.front.https {
		clients = append(clients, p)
	}
	for _, p := range m.front.peers {
		peers = append(peers, p)
	}
	return clients, peers
}

// Loopback is a connection to the member inside the process. It is closed by who asked for it.
func (m *Member) Loopback() (*grpc.ClientConn, error) { return m.rpc.Loopback() }

// addHandlers adds paths that are not the member's. The mux panics about those that cannot be, or are taken.
func addHandlers(mux *http.ServeMux, handlers map[string]http.Handler) (err error) {
	defer func() {
		if wrong := recover(); wrong != nil {
			err = fmt.Errorf("a handler of the program cannot be served: %v", wrong)
		}
	}()
	for path, handler := range handlers {
		mux.Handle(path, handler)
	}
	return nil
}

// Requests are what a program that has the member in it may ask without a client: who asks is not looked at.
func (m *Member) Requests() *server.Server { return m.server }
