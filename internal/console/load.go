package console

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Bounds of the search for prefixes with many keys.
const (
	maxTop     = 20
	topPage    = 100 // children of a prefix that are looked at
	maxOpened  = 12  // prefixes whose children are
	topTime    = 1500 * time.Millisecond
	enoughKeys = 2 // a prefix with fewer keys is none
)

type slowRequest struct {
	At      int64   `json:"at"`   // milliseconds since 1970
	Took    float64 `json:"took"` // milliseconds
	Method  string  `json:"method"`
	Request string  `json:"request"`
	Remote  string  `json:"remote"`
	Error   string  `json:"error,omitempty"`
	Phases  []phase `json:"phases,omitempty"`
}

type phase struct {
	Name string  `json:"name"`
	Took float64 `json:"took"` // milliseconds
}

type counted struct {
	Prefix []byte `json:"prefix"`
	Keys   int64  `json:"keys"`
}

type asked struct {
	Prefix []byte `json:"prefix"`
	Reads  uint64 `json:"reads"`
	Writes uint64 `json:"writes"`
}

type loadAnswer struct {
	Slow     []slowRequest `json:"slow"`
	SlowEver uint64        `json:"slow_ever"`
	// Counted is of how many requests Asked tells: some of all, picked by chance.
	Counted uint64    `json:"counted"`
	Asked   []asked   `json:"asked"`
	Keys    int64     `json:"keys"`
	Largest []counted `json:"largest"`
	// Part tells that some prefixes were not looked at.
	Part bool `json:"part,omitempty"`
}

// load tells what the member is busy with. It shows requests of others, and is for
// administrators.
func (c *Console) load(ctx context.Context, _ func(any) error) (any, error) {
	if _, err := pb.NewAuthClient(c.Conn).UserList(ctx, &pb.AuthUserListRequest{}, bounded()); err != nil {
		return nil, err
	}
	a := &loadAnswer{Slow: []slowRequest{}, Asked: []asked{}, Largest: []counted{}}
	slow, ever := c.Recent.Slowest()
	for _, s := range slow {
		shown := slowRequest{At: s.At.UnixMilli(), Took: milliseconds(s.Took), Method: s.Method, Request: s.Request, Remote: s.Remote, Error: s.Error}
		for _, p := range s.Phases {
			shown.Phases = append(shown.Phases, phase{p.Name, milliseconds(p.Took)})
		}
		a.Slow = append(a.Slow, shown)
	}
	hot, n := c.Recent.Hottest()
	for _, h := range hot {
		a.Asked = append(a.Asked, asked{[]byte(h.Prefix), h.Reads, h.Writes})
	}
	slices.SortFunc(a.Asked, func(x, y asked) int {
		return cmp.Or(cmp.Compare(y.Reads+y.Writes, x.Reads+x.Writes), bytes.Compare(x.Prefix, y.Prefix))
	})
	a.Asked, a.SlowEver, a.Counted = a.Asked[:min(len(a.Asked), maxTop)], ever, n
	return a, a.largest(ctx, pb.NewKVClient(c.Conn))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// largest finds prefixes with many keys by opening the largest that are known.
func (a *loadAnswer) largest(ctx context.Context, kv pb.KVClient) error {
	began, closed, done := time.Now(), &bySize{{}}, []counted{}
	for opened := 0; closed.Len() > 0; opened++ {
		if opened >= maxOpened || time.Since(began) > topTime {
			break
		}
		p := heap.Pop(closed).(counted)
		t := &treeAnswer{}
		if err := t.walk(ctx, &keys{kv: kv, batch: 1}, &treeQuestion{Prefix: p.Prefix, Delimiter: "/", Limit: topPage}, startOf(p.Prefix)); err != nil {
			return err
		}
		a.Part = a.Part || len(t.Next) > 0
		most := int64(0)
		for _, below := range t.Children {
			if below.Folder && below.Count >= enoughKeys {
				most = max(most, below.Count)
				heap.Push(closed, counted{below.Key, below.Count})
			}
		}
		// One that is almost all of it says more than the whole; among equals the
		// whole is worth telling too.
		if len(p.Prefix) > 0 && most*10 < p.Keys*9 {
			done = append(done, p)
		}
	}
	all := append(done, *closed...)
	slices.SortFunc(all, func(x, y counted) int {
		return cmp.Or(cmp.Compare(y.Keys, x.Keys), bytes.Compare(x.Prefix, y.Prefix))
	})
	a.Largest = all[:min(len(all), maxTop)]
	if len(a.Largest) > 0 && len(a.Largest[0].Prefix) == 0 {
		a.Largest = a.Largest[1:]
	}
	r, err := kv.Range(ctx, countOf(nil))
	if err == nil {
		a.Keys = r.Count
	}
	return err
}

// bySize is a heap with the largest prefix on top.
type bySize []counted

func (h bySize) Len() int           { return len(h) }
func (h bySize) Less(i, j int) bool { return h[i].Keys > h[j].Keys }
func (h bySize) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *bySize) Push(x any) { *h = append(*h, x.(counted)) }

// Pop implements heap.Interface.
func (h *bySize) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
