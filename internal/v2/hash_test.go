package v2

import (
	"fmt"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/wire"
)

// TestHashOfThen rewinds the hash of now to that of each index before, after random
// changes: what the changes have added is what is stored.
func TestHashOfThen(t *testing.T) {
	for seed := range uint64(10) {
		b := newBench(t, seed)
		then := make(map[uint64]Hash)
		for range 300 {
			h, err := b.store.Hash(t.Context())
			b.must(err)
			if h.Index != b.store.Index() {
				t.Fatalf("hashed at %d, the index is %d", h.Index, b.store.Index())
			}
			if was, ok := then[h.Index]; ok && was != h {
				t.Fatalf("seed %d: %v and %v", seed, was, h)
			}
			then[h.Index] = h
			b.apply(b.request())
		}
		now, err := b.store.Hash(t.Context())
		b.must(err)
		for index, want := range then {
			if got, known := b.store.Rewind(now, index); got != want || !known {
				t.Fatalf("seed %d: %v, %v, want %v", seed, got, known, want)
			}
		}
		if _, known := b.store.Rewind(now, now.Index+1); known {
			t.Error("the future is known")
		}
		st, err := Load(b.engine)
		b.must(err)
		b.store.Restart(st)
		if got, known := b.store.Rewind(now, now.Index); got != now || !known {
			t.Error("the present is not known after a restart")
		}
		if _, known := b.store.Rewind(now, now.Index-1); known {
			t.Error("after a restart the past is known")
		}
	}
}

// TestHashFindsDamage of any part of a node, and nodes that are missing or exchanged.
func TestHashFindsDamage(t *testing.T) {
	b := newBench(t, 1)
	for i := range 10 {
		b.apply(&wire.V2Request{Method: wire.V2Put, Path: fmt.Sprintf("/1/k%d", i), Value: fmt.Sprint("v", i), Time: b.now, Expiration: b.now + 1e12})
	}
	want, err := b.store.Hash(t.Context())
	b.must(err)
	n, err := b.store.Get("/1/k3")
	b.must(err)
	other, err := b.store.Get("/1/k4")
	b.must(err)
	for name, spoil := range map[string]func(batch *engine.Batch) error{
		"value": func(batch *engine.Batch) error {
			m := *n
			m.Value = "v"
			return batch.Set(nodeKey(m.Path), m.append(nil), nil)
		},
		"created": func(batch *engine.Batch) error {
			m := *n
			m.Created--
			return batch.Set(nodeKey(m.Path), m.append(nil), nil)
		},
		"expires": func(batch *engine.Batch) error {
			m := *n
			m.Expires++
			return batch.Set(nodeKey(m.Path), m.append(nil), nil)
		},
		"kind": func(batch *engine.Batch) error {
			m := *n
			m.Dir = true
			return batch.Set(nodeKey(m.Path), m.append(nil), nil)
		},
		"missing": func(batch *engine.Batch) error { return batch.Delete(nodeKey(n.Path), nil) },
		"exchanged": func(batch *engine.Batch) error {
			if err := batch.Set(nodeKey(n.Path), other.append(nil), nil); err != nil {
				return err
			}
			return batch.Set(nodeKey(other.Path), n.append(nil), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			batch := b.engine.NewBatch()
			b.must(spoil(batch))
			b.must(b.engine.Commit(batch))
			if got, err := b.store.Hash(t.Context()); err != nil || got.Sum == want.Sum || got.Index != want.Index {
				t.Errorf("%v, %v", got, err)
			}
			batch = b.engine.NewBatch()
			b.must(batch.Set(nodeKey(n.Path), n.append(nil), nil))
			b.must(batch.Set(nodeKey(other.Path), other.append(nil), nil))
			b.must(b.engine.Commit(batch))
			if got, err := b.store.Hash(t.Context()); err != nil || got != want {
				t.Errorf("repaired, it is %v, %v", got, err)
			}
		})
	}
}

// TestDeltasAreBounded: beyond what is kept nothing is claimed.
func TestDeltasAreBounded(t *testing.T) {
	var d deltas
	d.restart(5)
	const last = 5 + 5*deltasLen
	for i := uint64(6); i <= last; i++ {
		d.add(i, i)
	}
	if len(d.list) >= 2*deltasLen {
		t.Errorf("%d are kept", len(d.list))
	}
	if sum, known := d.between(last-2, last); sum != last+last-1 || !known {
		t.Errorf("%d, %v", sum, known)
	}
	if sum, known := d.between(last-deltasLen, last-deltasLen+1); sum != last-deltasLen+1 || !known {
		t.Errorf("%d, %v", sum, known)
	}
	if _, known := d.between(5, last); known {
		t.Error("what was dropped is known")
	}
}
