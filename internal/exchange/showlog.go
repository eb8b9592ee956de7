package exchange

import (
	"bytes"
	"fmt"
	"math"

	"bowline/internal/v2"
	"bowline/internal/wal"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// ShownEntry is an entry of a log.
type ShownEntry struct {
	Kind  Kind   `json:"kind"`
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	Type  string `json:"type"`
	Size  int    `json:"size"`
	Text  string `json:"text"`
	// Puts are the values in it, if they are asked for.
	Puts []ShownPut `json:"puts,omitempty"`
}

// ShownPut is a value in an entry.
type ShownPut struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

func (e ShownEntry) String() string {
	text := fmt.Sprintf("entry %d term %d %s, %d bytes: %s", e.Index, e.Term, e.Type, e.Size, e.Text)
	for _, p := range e.Puts {
		text += fmt.Sprintf(" %q=%q", p.Key, p.Value)
	}
	return text
}

// ShownState is what a log says beside its entries.
type ShownState struct {
	Kind          Kind   `json:"kind"`
	Term          uint64 `json:"term"`
	Vote          uint64 `json:"vote"`
	Commit        uint64 `json:"commit"`
	SnapshotIndex uint64 `json:"snapshotIndex"`
	SnapshotTerm  uint64 `json:"snapshotTerm"`
}

func (s ShownState) String() string {
	return fmt.Sprintf("state: term %d, vote %x, committed %d; snapshot mark at entry %d of term %d", s.Term, s.Vote, s.Commit, s.SnapshotIndex, s.SnapshotTerm)
}

// log shows the entries in a directory in the order in which they were written: one
// that replaces another follows it.
func (s *Shower) log(dir string) error {
	var failure error
	r, err := wal.Scan(wal.Options{Dir: dir}, func(e wal.Entry) {
		if failure == nil {
			failure = s.Entry(e)
		}
	})
	if failure != nil {
		return failure
	}
	if err != nil || s.Key != nil {
		return err
	}
	return s.Emit(ShownState{"state", r.HardState.Term, r.HardState.Vote, r.HardState.Commit, r.Snapshot.Index, r.Snapshot.Term})
}

// Entry shows an entry, if it is wanted.
func (s *Shower) Entry(e wal.Entry) error {
	if err := s.step(); err != nil {
		return err
	}
	if e.Index < s.FromIndex || s.ToIndex > 0 && e.Index > s.ToIndex {
		return nil
	}
	shown := ShownEntry{Kind: KindEntry, Index: e.Index, Term: e.Term, Type: "request", Size: len(e.Data)}
	if e.Type != raftpb.EntryType_EntryNormal {
		shown.Type = "conf change"
	}
	var touched bool
	shown.Text, touched = s.describe(e, &shown.Puts)
	if s.Key != nil && !touched {
		return nil
	}
	return s.Emit(shown)
}

// describe tells of an entry, and whether it has to do with the keys that are wanted.
// Values of puts are added to puts, if they are asked for.
func (s *Shower) describe(e wal.Entry, puts *[]ShownPut) (text string, touched bool) {
	if len(e.Data) == 0 {
		return "(begin of a term)", false
	}
	if e.Type != raftpb.EntryType_EntryNormal {
		c := new(raftpb.ConfChange)
		if err := proto.Unmarshal(e.Data, c); err != nil {
			return "(cannot be read: " + err.Error() + ")", false
		}
		return fmt.Sprintf("%s %x %s", c.GetType(), c.GetNodeId(), c.GetContext()), false
	}
	request, old := wire.DecodeV2(e.Data)
	if old {
		if r, ok := wire.ParseV2(e.Data); ok && !proto.Equal(request, &pb.InternalRaftRequest{Header: request.Header}) {
			return wire.Describe(request), s.wantsPath(r.Path)
		} else if ok {
			return describeV2(r), s.wantsPath(r.Path)
		}
		return wire.Describe(request), false
	}
	request = new(pb.InternalRaftRequest)
	if err := proto.Unmarshal(e.Data, request); err != nil {
		return "(cannot be read: " + err.Error() + ")", false
	}
	return wire.Describe(request), s.collect(request, puts)
}

// describeV2 leaves the value out, which may be a password's hash.
func describeV2(r *wire.V2Request) string {
	return fmt.Sprintf("header:<ID:%d> v2:<method:%s path:%q value_size:%d>", r.ID, r.Method, r.Path, len(r.Value))
}

// maxNesting bounds transactions in transactions.
const maxNesting = 100

// collect finds what a request has to do with the keys that are wanted.
func (s *Shower) collect(r *pb.InternalRaftRequest, puts *[]ShownPut) (touched bool) {
	put := func(p *pb.PutRequest) {
		if !s.wantsKey(p.Key) {
			return
		}
		touched = true
		if s.Values {
			*puts = append(*puts, ShownPut{p.Key, p.Value})
		}
	}
	var txn func(*pb.TxnRequest, int)
	txn = func(t *pb.TxnRequest, depth int) {
		if depth > maxNesting {
			return
		}
		for _, ops := range [][]*pb.RequestOp{t.Success, t.Failure} {
			for _, op := range ops {
				switch {
				case op.GetRequestPut() != nil:
					put(op.GetRequestPut())
				case op.GetRequestDeleteRange() != nil:
					touched = touched || s.wantsRange(op.GetRequestDeleteRange())
				case op.GetRequestTxn() != nil:
					txn(op.GetRequestTxn(), depth+1)
				}
			}
		}
	}
	switch {
	case r.Put != nil:
		put(r.Put)
	case r.DeleteRange != nil:
		touched = s.wantsRange(r.DeleteRange)
	case r.Txn != nil:
		txn(r.Txn, 0)
	}
	return touched
}

// wantsRange tells whether a deletion covers a key that is wanted.
func (s *Shower) wantsRange(d *pb.DeleteRangeRequest) bool {
	if len(d.RangeEnd) == 0 {
		return s.wantsKey(d.Key)
	}
	from, to := s.keyBounds()
	openEnd := len(d.RangeEnd) == 1 && d.RangeEnd[0] == 0
	return (openEnd || bytes.Compare(from, d.RangeEnd) < 0) && (to == nil || bytes.Compare(d.Key, to) < 0)
}

// keyBounds are those of the wanted keys; no end is nil.
func (s *Shower) keyBounds() (from, to []byte) {
	if !s.Prefix {
		return s.Key, append(bytes.Clone(s.Key), 0)
	}
	for i := len(s.Key) - 1; i >= 0; i-- {
		if s.Key[i] < math.MaxUint8 {
			to = bytes.Clone(s.Key[:i+1])
			to[i]++
			return s.Key, to
		}
	}
	return s.Key, nil
}

// wantsKey tells whether a key is wanted; without a filter each is.
func (s *Shower) wantsKey(key []byte) bool {
	return s.Key == nil || bytes.Equal(key, s.Key) || s.Prefix && bytes.HasPrefix(key, s.Key)
}

// wantsPath is wantsKey of a path in the tree of API v2, as clients name it.
func (s *Shower) wantsPath(path string) bool {
	if len(path) > len(v2.KeysPrefix) && path[:len(v2.KeysPrefix)] == v2.KeysPrefix {
		path = path[len(v2.KeysPrefix):]
	}
	return s.wantsKey([]byte(path))
}
