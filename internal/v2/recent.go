package v2

import (
	"fmt"
	"sync"
)

const (
	// recentBytes bounds what recent holds.
	recentBytes = 8 << 20
	// nodeOverhead estimates what a node costs there beside its path and value.
	nodeOverhead = 200
)

// recent is nodes that were changed lately, as they are. Only the writer fills it, with
// what is in the engine, so that none of them is ever older than the state which readers
// see.
type recent struct {
	mu    sync.RWMutex // guards all
	nodes map[string]*Node
	bytes int
}

func (n *Node) cost() int { return nodeOverhead + len(n.Path) + len(n.Value) }

// get returns a node, nil if it is not known here. It must not be modified.
func (r *recent) get(name string) *Node {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.nodes[name]
}

// take takes what a batch has made of nodes, nil of those it has removed.
func (r *recent) take(changed map[string]*Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, n := range changed {
		if old := r.nodes[name]; old != nil {
			r.bytes -= old.cost()
		}
		if n == nil {
			delete(r.nodes, name)
			continue
		}
		r.nodes[name] = n
		r.bytes += n.cost()
	}
	// Which ones go makes no difference to any answer.
	for name, n := range r.nodes {
		if r.bytes <= recentBytes {
			break
		}
		delete(r.nodes, name)
		r.bytes -= n.cost()
	}
}

// restart forgets all.
func (r *recent) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes, r.bytes = make(map[string]*Node), 0
}

// check compares the nodes with the engine's.
func (r *recent) check(stored func(name string) (*Node, error)) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	bytes := 0
	for name, n := range r.nodes {
		bytes += n.cost()
		in, err := stored(name)
		if err != nil {
			return err
		}
		if in == nil || *in != *n {
			return fmt.Errorf("v2: %q is remembered as %+v and stored as %+v", name, n, in)
		}
	}
	if bytes != r.bytes || bytes > recentBytes {
		return fmt.Errorf("v2: %d bytes of nodes are remembered, counted as %d", bytes, r.bytes)
	}
	return nil
}
