package testkit

// Network says where the members of a cluster are. Without one they are on the
// loopback interface and reach each other directly.
type Network interface {
	// Site is the place of a new member, which may use the block's ports.
	Site(name string, block *Block) (Site, error)
}

// Site is where a member listens and how it is reached, as host:port.
type Site struct {
	Client, Peer string // where it listens for clients, and for members
	Reached      string // where other members reach it
	// Wrap is a command that becomes the program given to it, such as "ip netns exec".
	Wrap []string
}

// loopback is what there is without a network of one's own.
type loopback struct{}

// Site implements Network.
func (loopback) Site(_ string, block *Block) (Site, error) {
	return Site{Client: block.Addr(0), Peer: block.Addr(1), Reached: block.Addr(1)}, nil
}
