package mvcc

import (
	"bytes"
	"context"

	"bowline/internal/engine"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Tags of the answers to writes, behind the header.
const (
	tagPutPrevKV     = 2<<3 | 2
	tagDeleted       = 2 << 3
	tagDeletedPrevKV = 3<<3 | 2
)

// Put applies a put. It returns the fields of the PutResponse that follow the
// header, or a refusal that has changed nothing.
func (g *Group) Put(req *pb.PutRequest) ([]byte, error) {
	r := g.open()
	defer r.close()
	return r.put(req)
}

func (r *request) put(req *pb.PutRequest) ([]byte, error) {
	g := r.g
	g.store.stats.Puts.Add(1)
	if req.Lease != 0 && !g.leases.Exists(req.Lease) {
		return nil, ErrLeaseNotFound
	}
	old, found, err := g.lookup(req.Key, req.PrevKv || req.IgnoreValue)
	if err != nil {
		return nil, err
	}
	if found = found && old.live(); !found && (req.IgnoreValue || req.IgnoreLease) {
		return nil, ErrKeyNotFound
	}
	kv := wire.KeyValue{Key: req.Key, Create: r.main, Mod: r.main, Version: 1, Value: req.Value, Lease: req.Lease}
	kind, prev, oldLease := KindCreate, Revision{}, int64(0)
	var answer []byte
	if found {
		kind, prev, oldLease = KindUpdate, old.rev, old.lease
		kv.Create, kv.Version = old.create, old.version+1
		if req.IgnoreValue {
			was, err := wire.ParseKeyValue(old.kv())
			if err != nil {
				return nil, err
			}
			kv.Value = was.Value
		}
		if req.IgnoreLease {
			kv.Lease = old.lease
		}
		if req.PrevKv {
			answer = wire.AppendMessage(nil, tagPutPrevKV, old.kv())
		}
	}
	g.store.stats.PutBytes.Add(int64(len(req.Key) + len(kv.Value)))
	if err := r.attach(req.Key, oldLease, kv.Lease); err != nil {
		return nil, err
	}
	return answer, r.write(kind, req.Key, &kv, prev, true)
}

// DeleteRange applies a deletion. It returns the fields of the
// DeleteRangeResponse that follow the header.
func (g *Group) DeleteRange(req *pb.DeleteRangeRequest) ([]byte, error) {
	r := g.open()
	defer r.close()
	return r.deleteRange(req)
}

func (r *request) deleteRange(req *pb.DeleteRangeRequest) ([]byte, error) {
	g := r.g
	g.store.stats.Deletes.Add(1)
	end, single, empty := rangeBounds(req.Key, req.RangeEnd)
	if empty {
		return nil, nil
	}
	var deleted int64
	var prevs []byte
	remove := func(key []byte, old version, fresh bool) error {
		deleted++
		if req.PrevKv {
			prevs = wire.AppendMessage(prevs, tagDeletedPrevKV, old.kv())
		}
		return r.delete(key, old, fresh)
	}
	if single {
		old, found, err := g.lookup(req.Key, req.PrevKv)
		if err != nil {
			return nil, err
		}
		if found && old.live() {
			if err := remove(req.Key, old, true); err != nil {
				return nil, err
			}
		}
		return append(wire.AppendInt(nil, tagDeleted, deleted), prevs...), nil
	}
	if err := r.eachLive(req.Key, end, remove); err != nil {
		return nil, err
	}
	return append(wire.AppendInt(nil, tagDeleted, deleted), prevs...), nil
}

// scanKeys is how many keys a deletion passes before it looks anew.
const scanKeys = 4096

// eachLive calls remove for each live key of [start, end), in pieces: no iterator
// may be open over a batch that is committed.
func (r *request) eachLive(start, end []byte, remove func(key []byte, old version, fresh bool) error) error {
	for more := true; more; {
		n := 0
		_, cut, err := r.view().scan(context.Background(), start, end, 0, func(stored, value []byte) (bool, error) {
			var rev Revision
			rev.Main, rev.Sub = engine.VersionRevision(stored)
			old, err := parseVersion(rev, value)
			if err != nil {
				return false, err
			}
			key := bytes.Clone(engine.VersionUserKey(stored))
			if err := remove(key, old, false); err != nil {
				return false, err
			}
			if n++; n < scanKeys && r.g.size() < r.g.store.spillBytes {
				return true, nil
			}
			start = append(key, 0)
			return false, nil
		})
		if err != nil {
			return err
		}
		more = cut
		if err := r.spill(); err != nil {
			return err
		}
	}
	return nil
}

// delete removes a live key.
func (r *request) delete(key []byte, old version, fresh bool) error {
	if err := r.attach(key, old.lease, 0); err != nil {
		return err
	}
	return r.write(KindDelete, key, &wire.KeyValue{Key: key}, old.rev, fresh)
}

// RevokeLease deletes the keys attached to a lease, in key order and in one
// revision. It reads the attachments from the engine, so it must come first in
// its group.
func (g *Group) RevokeLease(id int64) error {
	r := g.open()
	defer r.close()
	return attachedKeys(g.src, id, func(key []byte) error {
		key = bytes.Clone(key)
		old, found, err := g.lookup(key, false)
		if err != nil {
			return err
		}
		if !found || !old.live() {
			return nil
		}
		g.store.stats.Deletes.Add(1)
		if err := r.delete(key, old, false); err != nil {
			return err
		}
		return r.spill()
	})
}
