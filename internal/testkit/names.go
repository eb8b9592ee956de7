package testkit

import (
	"context"
	"net"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a name server on this machine. What it does not know does not exist.
type Names struct {
	conn net.PacketConn
	done chan struct{}

	mu       sync.Mutex // guards what follows, which is by names without the last dot
	hosts    map[string][4]byte
	services map[string][]net.SRV
}

// NewNames starts a name server; Close ends it.
func NewNames() (*Names, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &Names{conn: conn, done: make(chan struct{}), hosts: make(map[string][4]byte), services: make(map[string][]net.SRV)}
	go n.serve()
	return n, nil
}

// Host says where a host is.
func (n *Names) Host(name string, address [4]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[name] = address
}

// Service says, by records of increasing priority, who offers a service: _service._tcp.domain.
func (n *Names) Service(name string, records ...net.SRV) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.services[name] = records
}

// Resolver asks the name server, over the network.
func (n *Names) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	}}
}

// Close ends the name server.
func (n *Names) Close() {
	n.conn.Close()
	<-n.done
}

func (n *Names) serve() {
	defer close(n.done)
	buf := make([]byte, 2048)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := n.answer(buf[:size]); err == nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

func (n *Names) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.RecursionAvailable, m.Additionals = true, true, true, nil
	n.mu.Lock()
	defer n.mu.Unlock()
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	host, isHost := n.hosts[name]
	records, isService := n.services[name]
	if !isHost && !isService {
		m.RCode = dnsmessage.RCodeNameError
	}
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: body})
	}
	if isHost && q.Type == dnsmessage.TypeA {
		add(&dnsmessage.AResource{A: host})
	}
	if q.Type == dnsmessage.TypeSRV {
		for i, r := range records {
			add(&dnsmessage.SRVResource{Priority: uint16(i), Weight: 1, Port: r.Port, Target: dnsmessage.MustNewName(r.Target + ".")})
		}
	}
	return m.Pack()
}
