package mvcc

import (
	"hash/crc32"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// What the model knows of the past: what a compaction leaves, hashes, and the
// changes that watchers are shown.

// retained are the versions that a finished compaction to c leaves: of each key
// the newest at or below c unless it is an older deletion, and all above. Of
// revision c deletions stay even where the same revision has put the key again.
func (m *model) retained(c int64) []*modelVersion {
	newest := make(map[string]*modelVersion)
	for _, v := range m.all {
		if v.rev.Main <= c {
			newest[v.key] = v
		}
	}
	var kept []*modelVersion
	for _, v := range m.all {
		if v.rev.Main > c || v.deleted && v.rev.Main == c || newest[v.key] == v && !v.deleted {
			kept = append(kept, v)
		}
	}
	return kept
}

// hash is etcd's hash at rev over what is stored, with everything below c
// compacted; keep are the versions below c that count, and nil means all.
func (m *model) hash(stored []*modelVersion, rev, c int64, keep map[*modelVersion]bool) uint32 {
	h := crc32.New(castagnoli)
	h.Write([]byte("key"))
	for _, v := range stored {
		if v.rev.Main > rev || v.rev.Main <= c && len(keep) > 0 && !keep[v] || v.rev.Main == c && v.deleted {
			continue
		}
		key := []byte{0, 0, 0, 0, 0, 0, 0, byte(v.rev.Main), '_', 0, 0, 0, 0, 0, 0, byte(v.rev.Sub >> 8), byte(v.rev.Sub)}
		key[6] = byte(v.rev.Main >> 8)
		if v.deleted {
			key = append(key, 't')
		}
		h.Write(key)
		value, err := proto.Marshal(v.kv)
		if err != nil {
			panic(err)
		}
		h.Write(value)
	}
	return h.Sum32()
}

// hashKV answers HashKV over stored versions.
func (m *model) hashKV(stored []*modelVersion, rev int64) (Hash, error) {
	for _, h := range m.hashes {
		if h.Revision == rev {
			return h, nil
		}
	}
	switch {
	case rev > 0 && rev < m.compacted:
		return Hash{}, ErrCompacted
	case rev > m.current:
		return Hash{}, ErrFutureRevision
	case rev == 0:
		rev = m.current
	}
	keep := make(map[*modelVersion]bool)
	for _, v := range m.at(rev) {
		keep[v] = true
	}
	return Hash{Sum: m.hash(stored, rev, m.compacted, keep), Revision: rev, Compacted: m.compacted}, nil
}

// compactionHash is the hash that a compaction to rev takes when everything up to
// before is compacted, and nothing of it is removed yet.
func (m *model) compactionHash(rev, before int64) Hash {
	keep := make(map[*modelVersion]bool)
	for _, v := range m.retained(rev) {
		if v.rev.Main <= rev {
			keep[v] = true
		}
	}
	return Hash{Sum: m.hash(m.retained(before), rev, before, keep), Revision: rev, Compacted: before}
}

// history are the changes that a watcher of a range is shown from a revision on.
func (m *model) history(key, end []byte, from, to int64) ([]Event, error) {
	if from < m.compacted {
		return nil, ErrCompacted
	}
	var events []Event
	for _, v := range m.all {
		if v.rev.Main < from || v.rev.Main > to || !means(v.key, key, end) {
			continue
		}
		e := v.event()
		if v.rev.Main-1 < m.compacted {
			e.Prev = Revision{}
		}
		events = append(events, e)
	}
	return events, nil
}

func (v *modelVersion) event() Event {
	kv := v.kv
	if v.deleted {
		kv = &mvccpb.KeyValue{Key: kv.Key, ModRevision: v.rev.Main}
	}
	raw, err := proto.Marshal(kv)
	if err != nil {
		panic(err)
	}
	return Event{Key: []byte(strings.Clone(v.key)), Revision: v.rev, Kind: v.kind, Prev: v.prev, KV: raw}
}
