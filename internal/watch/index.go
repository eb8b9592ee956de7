package watch

import "math/rand/v2"

// endless as the end of an entry means every key from its first on.
const endless = "\x00"

// entry is the place of one watcher in an index. Entries that watch the same
// keys form a double list whose head the index knows.
type entry struct {
	owner *watcher
	// key and end tell what is watched: end "" is key alone, endless no end.
	key, end   string
	prev, next *entry
}

// index finds the watchers of a key: those of that very key through a map, those
// of ranges through a tree of ranges ordered by (key, end), in which each node
// knows the furthest end below it. The tree is a treap: its priorities are random,
// so no choice of ranges by a client makes it deep.
type index struct {
	exact map[string]*entry
	root  *rangeNode
}

type rangeNode struct {
	key, end    string
	furthest    string // the furthest end in this subtree
	left, right *rangeNode
	watchers    *entry
	priority    uint32
}

// add puts e into the index. An entry equal to one that is there shares its
// strings, so a million watchers of one key hold it once.
func (ix *index) add(e *entry) {
	if e.end == "" {
		if ix.exact == nil {
			ix.exact = make(map[string]*entry)
		}
		head := ix.exact[e.key]
		if head != nil {
			e.key = head.key
			pushBehindHead(head, e)
			return
		}
		ix.exact[e.key] = e
		return
	}
	if n := ix.find(e.key, e.end); n != nil {
		e.key, e.end = n.key, n.end
		pushBehindHead(n.watchers, e)
		return
	}
	n := &rangeNode{key: e.key, end: e.end, furthest: e.end, watchers: e, priority: rand.Uint32()}
	ix.root = insert(ix.root, n)
}

// pushBehindHead leaves the head where it is, so that the map need not change.
func pushBehindHead(head, e *entry) {
	e.prev, e.next = head, head.next
	if head.next != nil {
		head.next.prev = e
	}
	head.next = e
}

// remove takes e, which must be there, out of the index.
func (ix *index) remove(e *entry) {
	next := e.next
	if next != nil {
		next.prev = e.prev
	}
	wasHead := e.prev == nil
	if !wasHead {
		e.prev.next = next
	}
	e.prev, e.next = nil, nil
	switch {
	case !wasHead:
	case e.end == "" && next != nil:
		ix.exact[e.key] = next
	case e.end == "":
		delete(ix.exact, e.key)
	case next != nil:
		ix.find(e.key, e.end).watchers = next
	default:
		ix.root = unlink(ix.root, e.key, e.end)
	}
}

// visit calls f for each entry that watches key.
func (ix *index) visit(key []byte, f func(*entry)) {
	for e := ix.exact[string(key)]; e != nil; e = e.next {
		f(e)
	}
	ix.root.stab(key, f)
}

func (n *rangeNode) stab(key []byte, f func(*entry)) {
	for n != nil && within(key, n.furthest) {
		n.left.stab(key, f)
		if string(key) < n.key {
			return
		}
		if within(key, n.end) {
			for e := n.watchers; e != nil; e = e.next {
				f(e)
			}
		}
		n = n.right
	}
}

// within reports whether key lies before end.
func within(key []byte, end string) bool { return end == endless || string(key) < end }

// further returns the further of two ends.
func further(a, b string) string {
	if a == endless || b != endless && a >= b {
		return a
	}
	return b
}

func (ix *index) find(key, end string) *rangeNode {
	n := ix.root
	for n != nil && (n.key != key || n.end != end) {
		if rangeLess(key, end, n) {
			n = n.left
		} else {
			n = n.right
		}
	}
	return n
}

func rangeLess(key, end string, n *rangeNode) bool {
	return key < n.key || key == n.key && end < n.end
}

func (n *rangeNode) update() *rangeNode {
	n.furthest = n.end
	if n.left != nil {
		n.furthest = further(n.furthest, n.left.furthest)
	}
	if n.right != nil {
		n.furthest = further(n.furthest, n.right.furthest)
	}
	return n
}

func insert(root, n *rangeNode) *rangeNode {
	switch {
	case root == nil:
		return n
	case n.priority > root.priority:
		n.left, n.right = split(root, n.key, n.end)
		return n.update()
	case rangeLess(n.key, n.end, root):
		root.left = insert(root.left, n)
	default:
		root.right = insert(root.right, n)
	}
	return root.update()
}

// split parts a tree into the ranges before (key, end) and those after.
func split(root *rangeNode, key, end string) (before, after *rangeNode) {
	if root == nil {
		return nil, nil
	}
	if rangeLess(key, end, root) {
		before, root.left = split(root.left, key, end)
		return before, root.update()
	}
	root.right, after = split(root.right, key, end)
	return root.update(), after
}

func unlink(root *rangeNode, key, end string) *rangeNode {
	switch {
	case root.key == key && root.end == end:
		return join(root.left, root.right)
	case rangeLess(key, end, root):
		root.left = unlink(root.left, key, end)
	default:
		root.right = unlink(root.right, key, end)
	}
	return root.update()
}

func join(before, after *rangeNode) *rangeNode {
	switch {
	case before == nil:
		return after
	case after == nil:
		return before
	case before.priority > after.priority:
		before.right = join(before.right, after)
		return before.update()
	default:
		after.left = join(before, after.left)
		return after.update()
	}
}
