package console

import (
	"bytes"
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Bounds of one step of a search.
const (
	maxLooked  = 50_000
	maxHits    = 200
	searchTime = time.Second
)

type searchQuestion struct {
	Prefix []byte `json:"prefix"`
	Text   string `json:"text"`
	// After is Next of the step before.
	After []byte `json:"after"`
}

type searchAnswer struct {
	Hits   []child `json:"hits"`
	Looked int     `json:"looked"`         // at how many keys
	Next   []byte  `json:"next,omitempty"` // where the next step begins; empty if all was looked at
}

// search looks for keys that contain a text, whatever its case, for so long and no
// longer: who wants more asks for the next step.
func (c *Console) search(ctx context.Context, decode func(any) error) (any, error) {
	var q searchQuestion
	if err := decode(&q); err != nil {
		return nil, err
	}
	k := &keys{kv: pb.NewKVClient(c.Conn), batch: maxBatch}
	a, text := &searchAnswer{Hits: []child{}}, bytes.ToLower([]byte(q.Text))
	from, end, began := startOf(q.Prefix), endOf(q.Prefix), time.Now()
	if len(q.After) > 0 {
		from = q.After
	}
	for {
		kvs, more, err := k.next(ctx, from, end)
		if err != nil {
			return nil, err
		}
		for _, kv := range kvs {
			if a.Looked >= maxLooked || len(a.Hits) >= maxHits {
				a.Next = kv.Key
				return a, nil
			}
			a.Looked++
			from = append(kv.Key, 0)
			if bytes.Contains(bytes.ToLower(kv.Key), text) {
				a.Hits = append(a.Hits, child{Key: kv.Key, Mod: kv.ModRevision, Vers: kv.Version})
			}
		}
		if !more {
			return a, nil
		}
		if time.Since(began) > searchTime {
			a.Next = from
			return a, nil
		}
	}
}
