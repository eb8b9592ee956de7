package member

import (
	"errors"
	"net"
	"sync"
)

// reservedDescriptors are the file descriptors that clients' connections leave to
// the log, the engine and everything else; etcd's number.
const reservedDescriptors = 150

// connectionLimit is how many connections of clients a process may have that may
// have so many file descriptors.
func connectionLimit(descriptors uint64) (int, error) {
	const enough = 1 << 30 // where there is no limit
	if descriptors <= reservedDescriptors {
		return 0, errors.New("file descriptor limit of etcd process is too low; please set higher")
	}
	return int(min(descriptors-reservedDescriptors, enough)), nil
}

// engineFiles is how many files the engine may have open: of the descriptors that
// connections leave, with room for the log and what else there is, but no more
// than it can make use of.
func engineFiles() int { return descriptorShare(10, 64, 1000) }

// removedFiles is how many files whose names are gone may keep a descriptor, for their space
// to be freed slowly.
func removedFiles() int { return descriptorShare(16, 32, 2048) }

// descriptorShare is one part in so many of the descriptors that the process may have,
// within bounds.
func descriptorShare(parts, least, most uint64) int {
	limit, err := descriptorLimit()
	if err != nil {
		return int(least)
	}
	return int(min(max(limit/parts, least), most))
}

// limitConnections makes ports share a limit of connections: those beyond it
// wait, one at each listener and the others in the system's queue, until one is
// closed.
func limitConnections(ports []*port, limit int) {
	slots := make(chan struct{}, limit)
	for _, p := range ports {
		p.Listener = &limited{Listener: p.Listener, slots: slots, done: make(chan struct{})}
	}
}

// limited is one of those listeners.
type limited struct {
	net.Listener
	slots chan struct{} // holds a token for each connection
	once  sync.Once
	done  chan struct{} // closed by Close
}

// Accept takes a connection first and a place for it then: a listener that waits
// for connections must not keep a place from one that has them.
func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
		return &limitedConn{Conn: c, slots: l.slots}, nil
	case <-l.done:
		c.Close()
		return nil, net.ErrClosed
	}
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	once  sync.Once
	slots chan struct{}
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}
