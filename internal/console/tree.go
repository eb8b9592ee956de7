package console

import (
	"bytes"
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds of a page of the tree.
const (
	usualPage = 100
	maxPage   = 500
	// treeTime is after which a page ends with what was found.
	treeTime = 2 * time.Second
)

// child is what is directly below a prefix: a key, or all keys that begin alike up to a
// delimiter.
type child struct {
	Key    []byte `json:"key"`
	Folder bool   `json:"folder,omitempty"`
	Count  int64  `json:"count,omitempty"` // keys in a folder
	Mod    int64  `json:"mod,omitempty"`
	Vers   int64  `json:"version,omitempty"`
}

type treeQuestion struct {
	Prefix    []byte `json:"prefix"`
	Delimiter string `json:"delimiter"`
	// After is Next of the page before.
	After []byte `json:"after"`
	Limit int    `json:"limit"`
}

type treeAnswer struct {
	Revision int64   `json:"revision"`
	Count    int64   `json:"count"` // keys below the prefix
	Children []child `json:"children"`
	Next     []byte  `json:"next,omitempty"` // empty if there are no more
}

// tree lists the children of a prefix, by jumping over what is below them: its cost is
// that of the children and not of the keys.
func (c *Console) tree(ctx context.Context, decode func(any) error) (any, error) {
	var q treeQuestion
	if err := decode(&q); err != nil {
		return nil, err
	}
	if q.Delimiter == "" {
		q.Delimiter = "/"
	}
	if q.Limit <= 0 {
		q.Limit = usualPage
	}
	q.Limit = min(q.Limit, maxPage)
	k := &keys{kv: pb.NewKVClient(c.Conn), batch: 1}
	first, err := k.kv.Range(ctx, countOf(q.Prefix))
	if err != nil {
		return nil, err
	}
	a := &treeAnswer{Revision: first.Header.Revision, Count: first.Count, Children: []child{}}
	from := startOf(q.Prefix)
	if len(q.After) > 0 {
		from = q.After
	}
	return a, a.walk(ctx, k, &q, from)
}

// walk adds children from a key on.
func (a *treeAnswer) walk(ctx context.Context, k *keys, q *treeQuestion, from []byte) error {
	end, began := endOf(q.Prefix), time.Now()
	for {
		kvs, more, err := k.next(ctx, from, end)
		if err != nil {
			return err
		}
		for len(kvs) > 0 {
			kv := kvs[0]
			if len(a.Children) >= q.Limit || time.Since(began) > treeTime {
				a.Next = kv.Key
				return nil
			}
			folder := folderOf(kv.Key, len(q.Prefix), q.Delimiter)
			if folder == nil {
				a.Children = append(a.Children, child{Key: kv.Key, Mod: kv.ModRevision, Vers: kv.Version})
				kvs, from = kvs[1:], append(bytes.Clone(kv.Key), 0)
				continue
			}
			counted, err := k.kv.Range(ctx, countOf(folder))
			if err != nil {
				return err
			}
			a.Children = append(a.Children, child{Key: folder, Folder: true, Count: counted.Count})
			if from, k.batch = endOf(folder), 1; isEnd(from) {
				return nil
			}
			for len(kvs) > 0 && bytes.HasPrefix(kvs[0].Key, folder) {
				kvs = kvs[1:]
			}
		}
		if !more {
			return nil
		}
	}
}

// folderOf is a key up to the delimiter that follows the prefix, nil if none does. A
// delimiter right behind the prefix belongs to the name: it would make a folder without
// a name.
func folderOf(key []byte, prefix int, delimiter string) []byte {
	rest := key[min(prefix, len(key)):]
	skip := 0
	if bytes.HasPrefix(rest, []byte(delimiter)) {
		skip = len(delimiter)
	}
	i := bytes.Index(rest[skip:], []byte(delimiter))
	if i < 0 {
		return nil
	}
	return key[:prefix+skip+i+len(delimiter)]
}

// keys reads keys in order, more at a time while nothing is to be jumped over.
type keys struct {
	kv    pb.KVClient
	batch int64
}

const (
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// next returns some keys in [from, end), and whether there are more.
func (k *keys) next(ctx context.Context, from, end []byte) ([]*mvccpb.KeyValue, bool, error) {
	for {
		r, err := k.kv.Range(ctx, &pb.RangeRequest{Key: from, RangeEnd: end, Limit: k.batch, KeysOnly: true, Serializable: true}, bounded())
		if status.Code(err) == codes.ResourceExhausted && k.batch > 1 && ctx.Err() == nil {
			k.batch /= 2 // long keys
			continue
		}
		if err != nil {
			return nil, false, err
		}
		bytes := 1
		for _, kv := range r.Kvs {
			bytes += len(kv.Key)
		}
		if n := int64(len(r.Kvs)); n > 0 {
			k.batch = max(1, min(2*k.batch, maxBatch, maxBatchBytes*n/int64(bytes)))
		}
		return r.Kvs, r.More, nil
	}
}

// countOf asks how many keys begin with a prefix.
func countOf(prefix []byte) *pb.RangeRequest {
	return &pb.RangeRequest{Key: startOf(prefix), RangeEnd: endOf(prefix), CountOnly: true, Serializable: true}
}

// startOf is where keys with a prefix begin: API v3 has no empty key.
func startOf(prefix []byte) []byte {
	if len(prefix) == 0 {
		return []byte{0}
	}
	return prefix
}

// endOf is the first key behind those with a prefix; {0} means the end of all, as in
// API v3.
func endOf(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0}
}

// isEnd tells whether there are no keys behind what endOf was asked about.
func isEnd(end []byte) bool { return len(end) == 1 && end[0] == 0 }
