package server

import (
	"slices"
	"testing"

	"bowline/internal/peers"
)

func TestOutvoted(t *testing.T) {
	for name, c := range map[string]struct {
		own    uint32
		others map[uint64]uint32
		guilty []uint64
		differ bool
	}{
		"all the same":              {1, map[uint64]uint32{2: 1, 3: 1}, nil, false},
		"alone":                     {1, nil, nil, false},
		"another one":               {1, map[uint64]uint32{2: 1, 3: 9}, []uint64{3}, true},
		"the leader itself":         {9, map[uint64]uint32{2: 1, 3: 1}, []uint64{1}, true},
		"one against one":           {1, map[uint64]uint32{2: 9}, []uint64{0}, true},
		"two against two":           {1, map[uint64]uint32{2: 9, 3: 1, 4: 9}, []uint64{0}, true},
		"everybody differs":         {1, map[uint64]uint32{2: 2, 3: 3}, []uint64{0}, true},
		"three against one and one": {1, map[uint64]uint32{2: 1, 3: 1, 4: 8, 5: 9}, []uint64{4, 5}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var others []peerHash
			for id, sum := range c.others {
				others = append(others, peerHash{id: id, hash: peers.HashKV{Hash: sum}})
			}
			guilty, differ := outvoted(1, c.own, others)
			if differ != c.differ || !slices.Equal(guilty, c.guilty) {
				t.Errorf("%v, %v; want %v, %v", guilty, differ, c.guilty, c.differ)
			}
		})
	}
}
