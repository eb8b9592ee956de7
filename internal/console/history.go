package console

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
)

// Bounds of a page of a key's history.
const (
	maxVersions     = 50
	usualVersions   = 20
	maxHistoryBytes = 4 << 20
)

type historyQuestion struct {
	Key []byte `json:"key"`
	// Before is a revision: versions below it are told. 0 is from now on.
	Before int64 `json:"before"`
	Limit  int   `json:"limit"`
}

// version is a version of a key.
type version struct {
	Mod     int64  `json:"mod"`
	Create  int64  `json:"create"`
	Version int64  `json:"version"`
	Lease   string `json:"lease,omitempty"`
	Value   []byte `json:"value"`
}

// What is behind the last version that was told.
const (
	endCreated   = "created"   // nothing: it created the key
	endCompacted = "compacted" // what was there is compacted
	endGone      = "gone"      // at that revision there was no such key
	endMore      = "more"
)

type historyAnswer struct {
	Versions []version `json:"versions"` // the newest first
	End      string    `json:"end"`
	// Before is what to ask with for more.
	Before int64 `json:"before,omitempty"`
}

// history walks from each version of a key to the one before, since the key was
// created; what a key of that name was before is not found this way.
func (c *Console) history(ctx context.Context, decode func(any) error) (any, error) {
	var q historyQuestion
	if err := decode(&q); err != nil {
		return nil, err
	}
	if q.Limit <= 0 {
		q.Limit = usualVersions
	}
	a, kv, total := &historyAnswer{Versions: []version{}}, pb.NewKVClient(c.Conn), 0
	for at := q.Before - 1; ; {
		r, err := kv.Range(ctx, &pb.RangeRequest{Key: q.Key, Revision: max(at, 0)}, bounded())
		switch {
		case err != nil && status.Convert(err).Message() == rpctypes.ErrorDesc(rpctypes.ErrGRPCCompacted):
			a.End = endCompacted
			return a, nil
		case err != nil:
			return nil, err
		case len(r.Kvs) == 0:
			a.End = endGone
			return a, nil
		}
		v := r.Kvs[0]
		a.Versions = append(a.Versions, versionOf(v))
		if total += len(v.Value); v.Version <= 1 || v.ModRevision <= 1 {
			a.End = endCreated
			return a, nil
		}
		if len(a.Versions) >= min(q.Limit, maxVersions) || total > maxHistoryBytes {
			a.End, a.Before = endMore, v.ModRevision
			return a, nil
		}
		at = v.ModRevision - 1
	}
}

func versionOf(kv *mvccpb.KeyValue) version {
	v := version{Mod: kv.ModRevision, Create: kv.CreateRevision, Version: kv.Version, Value: kv.Value}
	if kv.Lease != 0 {
		v.Lease = idText(kv.Lease)
	}
	return v
}
