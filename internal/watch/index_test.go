package watch

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestIndexAgainstAList(t *testing.T) {
	keys := rapid.StringMatching(`[a-d]{1,3}`)
	rapid.Check(t, func(t *rapid.T) {
		var ix index
		var all []*entry
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e := &entry{key: keys.Draw(t, "key")}
				switch end := keys.Draw(t, "end"); {
				case rapid.IntRange(0, 9).Draw(t, "kind") == 0:
					e.end = endless
				case end > e.key:
					e.end = end
				}
				ix.add(e)
				all = append(all, e)
			},
			"remove": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("nothing there")
				}
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				ix.remove(all[i])
				all = slices.Delete(all, i, i+1)
			},
			"": func(t *rapid.T) {
				checkTree(t, ix.root)
				key := keys.Draw(t, "look up")
				found := map[*entry]int{}
				ix.visit([]byte(key), func(e *entry) { found[e]++ })
				for _, e := range all {
					want := 0
					if matches([]byte(key), e.key, e.end) {
						want = 1
					}
					if found[e] != want {
						t.Fatalf("%q: [%q, %q) found %d times, want %d", key, e.key, e.end, found[e], want)
					}
					delete(found, e)
				}
				if len(found) > 0 {
					t.Fatalf("%q: found what was removed", key)
				}
			},
		})
		for _, e := range all {
			ix.remove(e)
		}
		if len(ix.exact) != 0 || ix.root != nil {
			t.Fatal("an emptied index holds something")
		}
	})
}

func checkTree(t *rapid.T, n *rangeNode) {
	if n == nil {
		return
	}
	furthest := n.end
	for _, child := range []*rangeNode{n.left, n.right} {
		if child == nil {
			continue
		}
		checkTree(t, child)
		if child.priority > n.priority {
			t.Fatal("the heap order is broken")
		}
		furthest = further(furthest, child.furthest)
	}
	if furthest != n.furthest {
		t.Fatalf("node says its furthest end is %q, it is %q", n.furthest, furthest)
	}
	if n.left != nil && !rangeLess(n.left.key, n.left.end, n) || n.right != nil && rangeLess(n.right.key, n.right.end, n) {
		t.Fatal("the order of ranges is broken")
	}
}

func TestIndexOfManyRangesIsShallow(t *testing.T) {
	var ix index
	const n = 20_000
	for i := range n {
		ix.add(&entry{key: fmt.Sprintf("%08d", i), end: fmt.Sprintf("%08d", i+1)})
	}
	visited, deepest := 0, 0
	var walk func(n *rangeNode, depth int)
	walk = func(n *rangeNode, depth int) {
		if n == nil {
			return
		}
		visited++
		deepest = max(deepest, depth)
		walk(n.left, depth+1)
		walk(n.right, depth+1)
	}
	walk(ix.root, 1)
	if visited != n || deepest > 80 {
		t.Fatalf("%d nodes, %d deep", visited, deepest)
	}
}
