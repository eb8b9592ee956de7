package testkit

import (
	"fmt"
	"net"
	"os"
	"sync"
)

// Ports come in blocks below those that the system gives to outgoing
// connections, so that a server that is started later finds its own still free.
const (
	firstPort = 25000
	lastPort  = 32000

	// BlockSize is how many ports a block has.
	BlockSize = 20
)

// Ports hands out blocks of ports. Its zero value is ready for use, by several
// goroutines; test processes that run side by side do not get each other's.
type Ports struct {
	mu   sync.Mutex // guards next
	next int
}

// Block is a run of BlockSize ports, from First on.
type Block struct {
	First int
	guard net.Listener
}

// Take reserves a block until it is released.
func (p *Ports) Take() (*Block, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const blocks = (lastPort - firstPort) / (BlockSize + 1)
	if p.next == 0 {
		p.next = os.Getpid() % blocks // processes side by side begin at different places
	}
	for range blocks {
		p.next = (p.next + 1) % blocks
		if b := reserve(firstPort + p.next*(BlockSize+1)); b != nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports in a row between %d and %d", BlockSize, firstPort, lastPort)
}

// reserve listens on a port, for as long as the block is in use, to tell other
// processes that the ports after it are taken.
func reserve(guardPort int) *Block {
	guard, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", guardPort))
	if err != nil {
		return nil
	}
	b := &Block{First: guardPort + 1, guard: guard}
	for i := range BlockSize {
		l, err := net.Listen("tcp", b.Addr(i))
		if err != nil {
			b.Release()
			return nil
		}
		l.Close()
	}
	return b
}

// Addr is the address of the block's i-th port.
func (b *Block) Addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", b.First+i) }

// Release gives the block back.
func (b *Block) Release() { b.guard.Close() }
