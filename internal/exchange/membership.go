package exchange

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"bowline/internal/cluster"
	"bowline/internal/wal"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Up to 3.5 the members in etcd's database are not to be trusted: they are those of
// the newest .snap file, and what the log has changed since.

// v2Tree is a node of the v2 store as a .snap file holds it.
type v2Tree struct {
	Value    string
	Children map[string]*v2Tree
}

func (n *v2Tree) at(path ...string) *v2Tree {
	for _, name := range path {
		if n == nil {
			return nil
		}
		n = n.Children[name]
	}
	return n
}

// children of a node that may not be there.
func (n *v2Tree) children() map[string]*v2Tree {
	if n == nil {
		return nil
	}
	return n.Children
}

// membersFromLog replaces r's members, as of its position, by those that hold for etcd
// up to 3.5, and its cluster version if it has none.
func (t *TakeOver) membersFromLog(r *records) error {
	snap, err := t.newestSnap(r.Position.Index)
	if err != nil {
		return err
	}
	view, version, index := snap.members, snap.version, snap.index
	changes, first, err := t.changes(index, r.Position.Index)
	if err != nil {
		return err
	}
	if first > index+1 {
		return fmt.Errorf("the members are unknown: the newest usable .snap file is of entry %d, and the log begins at %d", index, first)
	}
	for _, c := range changes {
		if c.conf != nil {
			// A refused change has changed nothing, for etcd too.
			if next, err := view.Apply(c.conf, 0); err == nil {
				view = next
			}
			continue
		}
		if set := c.request.GetClusterMemberAttrSet(); set != nil {
			view, _ = view.Publish(set.Member_ID, set.GetMemberAttributes().GetName(), set.GetMemberAttributes().GetClientUrls())
		}
		if set := c.request.GetClusterVersionSet(); set != nil {
			version = set.Ver
		}
	}
	r.Members = view
	if r.ClusterVersion == "" {
		r.ClusterVersion = version
	}
	r.snap = snap
	return nil
}

// memberChange is an entry that changes members, or the cluster version.
type memberChange struct {
	index   uint64
	conf    *raftpb.ConfChange
	request *pb.InternalRaftRequest
}

// changes reads those in (from, to] of the log, and where the log begins.
func (t *TakeOver) changes(from, to uint64) (changes []memberChange, first uint64, err error) {
	var failure error
	r, err := wal.Scan(t.logOptions(t.LogDir), func(e wal.Entry) {
		for len(changes) > 0 && changes[len(changes)-1].index >= e.Index {
			changes = changes[:len(changes)-1] // it was replaced
		}
		if e.Index <= from || e.Index > to {
			return
		}
		c, err := readChange(e)
		if err != nil && failure == nil {
			failure = err
		}
		if c.conf != nil || c.request != nil {
			changes = append(changes, c)
		}
	})
	if err == nil {
		err = failure
	}
	return changes, r.FirstIndex, err
}

func readChange(e wal.Entry) (c memberChange, err error) {
	c.index = e.Index
	if e.Type == raftpb.EntryType_EntryConfChange {
		c.conf = new(raftpb.ConfChange)
		if err := proto.Unmarshal(e.Data, c.conf); err != nil {
			return c, fmt.Errorf("entry %d of the log is a damaged conf change: %w", e.Index, err)
		}
		return c, nil
	}
	request, ok := wire.DecodeV2(e.Data)
	if !ok {
		request = new(pb.InternalRaftRequest)
		if proto.Unmarshal(e.Data, request) != nil {
			return c, nil // it is applied already, whatever it was
		}
	}
	if request.ClusterMemberAttrSet != nil || request.ClusterVersionSet != nil {
		c.request = request
	}
	return c, nil
}

// snap is a .snap file.
type snap struct {
	// name is empty if there is none: then there are no members, and index is 0.
	name    string
	index   uint64
	members *cluster.View
	version string
}

// newestSnap reads the newest .snap file at or below an index.
func (t *TakeOver) newestSnap(most uint64) (snap, error) {
	names, err := t.FS.List(t.member(snapName))
	if err != nil {
		return snap{}, err
	}
	var files []snap
	for _, name := range names {
		f, term := snap{name: name}, uint64(0)
		if n, err := fmt.Sscanf(name, "%16x-%16x.snap", &term, &f.index); err == nil && n == 2 && filepath.Ext(name) == ".snap" && f.index <= most {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b snap) int { return cmp.Compare(b.index, a.index) })
	for _, f := range files {
		if err = t.readMembers(&f); err == nil {
			return f, nil
		}
	}
	return snap{members: cluster.NewView(nil, nil)}, err
}

func (t *TakeOver) readMembers(f *snap) error {
	data, err := t.readSnap(f.name)
	if err != nil {
		return err
	}
	tree, err := readTree(data, nil)
	if err == nil {
		f.members, f.version, err = membersOf(tree)
	}
	if err != nil {
		return &DamageError{File: filepath.Join(t.member(snapName), f.name), Reason: err.Error()}
	}
	return nil
}

// maxSnap bounds a .snap file: it is read whole.
const maxSnap = 256 << 20

// readSnap reads the v2 store in a .snap file: a CRC-32C, and a raft snapshot whose data
// it is.
func (t *TakeOver) readSnap(name string) ([]byte, error) {
	path := filepath.Join(t.member(snapName), name)
	bad := func(why string) ([]byte, error) { return nil, &DamageError{File: path, Reason: why} }
	f, err := t.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSnap+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSnap {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSnap)
	}
	var sum uint64
	var data []byte
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return bad("it is no .snap file")
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return bad("it is no .snap file")
		}
		switch {
		case num == 1 && typ == protowire.VarintType:
			sum, _ = protowire.ConsumeVarint(b[n:])
		case num == 2 && typ == protowire.BytesType:
			data, _ = protowire.ConsumeBytes(b[n:])
		}
		b = b[n+m:]
	}
	if uint64(crc32.Checksum(data, castagnoli)) != sum {
		return bad("its checksum is wrong")
	}
	snapshot := new(raftpb.Snapshot)
	if err := proto.Unmarshal(data, snapshot); err != nil {
		return bad("it holds no raft snapshot")
	}
	return snapshot.GetData(), nil
}

// membersOf reads the members in a v2 store.
func membersOf(root *v2Tree) (*cluster.View, string, error) {
	var members []cluster.Member
	for text, node := range root.at("0", "members").children() {
		id, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			return nil, "", err
		}
		m := cluster.Member{ID: id}
		for _, name := range []string{"raftAttributes", "attributes"} {
			if leaf := node.at(name); leaf != nil && leaf.Value != "" {
				if err := json.Unmarshal([]byte(leaf.Value), &m); err != nil {
					return nil, "", err
				}
			}
		}
		m.ID = id
		members = append(members, m)
	}
	var removed []uint64
	for text := range root.at("0", "removed_members").children() {
		id, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			return nil, "", err
		}
		removed = append(removed, id)
	}
	version := ""
	if leaf := root.at("0", "version"); leaf != nil {
		version = leaf.Value
	}
	return cluster.NewView(members, removed), version, nil
}
