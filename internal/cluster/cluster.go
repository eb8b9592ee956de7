package cluster

import (
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Member is one member as it is stored and sent; the JSON form is etcd's.
type Member struct {
	ID        uint64   `json:"id"`
	PeerURLs  []string `json:"peerURLs"`
	IsLearner bool     `json:"isLearner,omitempty"`
	// AutoPromote asks the leader to make this learner a voter once it has caught
	// up. It is Bowline's own; etcd passes over it.
	AutoPromote bool `json:"autoPromote,omitempty"`
	// Ours tells that the member has said that it is Bowline: it knows entries of the
	// log that etcd does not. etcd passes over it.
	Ours bool `json:"bowline,omitempty"`
	// Name and ClientURLs are empty until the member has started.
	Name       string   `json:"name,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
}

// Started tells whether the member has published itself.
func (m *Member) Started() bool { return m.Name != "" }

// Refusals of a change; their texts reach clients.
var (
	ErrIDRemoved       = errors.New("membership: ID removed")
	ErrIDExists        = errors.New("membership: ID exists")
	ErrIDNotFound      = errors.New("membership: ID not found")
	ErrPeerURLExists   = errors.New("membership: peerURL exists")
	ErrNotLearner      = errors.New("membership: can only promote a learner member")
	ErrTooManyLearners = errors.New("membership: too many learner members in cluster")
)

// MemberID computes the ID of a member from its peer URLs and the cluster's
// token, as etcd does: the first 8 bytes of a SHA-1 over the sorted URLs and the
// token.
func MemberID(peerURLs []string, token string) uint64 {
	urls := slices.Clone(peerURLs)
	slices.Sort(urls)
	sum := sha1.Sum([]byte(strings.Join(urls, "") + token))
	return binary.BigEndian.Uint64(sum[:8])
}

// ID computes a cluster's ID from the IDs of its first members, as etcd does.
func ID(members []uint64) uint64 {
	ids := slices.Clone(members)
	slices.Sort(ids)
	b := make([]byte, 0, 8*len(ids))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, id)
	}
	sum := sha1.Sum(b)
	return binary.BigEndian.Uint64(sum[:8])
}

// View is the member list at one moment. It is immutable.
type View struct {
	members []Member // ascending by ID
	removed map[uint64]struct{}
}

// NewView returns a view of the given members and removed IDs.
func NewView(members []Member, removed []uint64) *View {
	v := &View{members: slices.Clone(members), removed: make(map[uint64]struct{}, len(removed))}
	slices.SortFunc(v.members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	for _, id := range removed {
		v.removed[id] = struct{}{}
	}
	return v
}

// Members returns the members, ascending by ID. The slice must not be modified.
func (v *View) Members() []Member { return v.members }

// Member returns the member with the given ID, or nil.
func (v *View) Member(id uint64) *Member {
	i, ok := slices.BinarySearchFunc(v.members, id, func(m Member, id uint64) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return nil
	}
	return &v.members[i]
}

// Removed tells whether a member with this ID was removed; such an ID never
// returns.
func (v *View) Removed(id uint64) bool {
	_, ok := v.removed[id]
	return ok
}

// RemovedIDs returns the IDs of the members that were removed, ascending.
func (v *View) RemovedIDs() []uint64 { return slices.Sorted(maps.Keys(v.removed)) }

// ConfState is the raft configuration that the member list stands for.
func (v *View) ConfState() *raftpb.ConfState {
	cs := &raftpb.ConfState{AutoLeave: proto.Bool(false)}
	for _, m := range v.members {
		if m.IsLearner {
			cs.Learners = append(cs.Learners, m.ID)
		} else {
			cs.Voters = append(cs.Voters, m.ID)
		}
	}
	return cs
}

// ChangeContext is what a conf change carries: the member, and whether it is the
// promotion of a learner.
type ChangeContext struct {
	Member
	IsPromote bool `json:"isPromote,omitempty"`
}

// Apply checks a configuration change and returns the list after it. A refusal
// leaves the list as it is. More learners than maxLearners are refused; 0 means no
// limit.
func (v *View) Apply(cc *raftpb.ConfChange, maxLearners int) (*View, error) {
	if v.Removed(cc.GetNodeId()) {
		return nil, ErrIDRemoved
	}
	switch cc.GetType() {
	case raftpb.ConfChangeType_ConfChangeAddNode, raftpb.ConfChangeType_ConfChangeAddLearnerNode:
		var ctx ChangeContext
		if err := json.Unmarshal(cc.GetContext(), &ctx); err != nil {
			return nil, fmt.Errorf("cluster: the context of a conf change cannot be read: %w", err)
		}
		if ctx.IsPromote {
			return v.promote(cc.GetNodeId())
		}
		return v.add(ctx.Member, maxLearners)
	case raftpb.ConfChangeType_ConfChangeRemoveNode:
		return v.remove(cc.GetNodeId())
	case raftpb.ConfChangeType_ConfChangeUpdateNode:
		var m Member
		if err := json.Unmarshal(cc.GetContext(), &m); err != nil {
			return nil, fmt.Errorf("cluster: the context of a conf change cannot be read: %w", err)
		}
		return v.update(cc.GetNodeId(), m.PeerURLs)
	default:
		return nil, fmt.Errorf("cluster: unknown kind of conf change %v", cc.GetType())
	}
}

func (v *View) with(change func(*View)) *View {
	next := &View{members: slices.Clone(v.members), removed: v.removed}
	change(next)
	return next
}

func (v *View) learners() (n int) {
	for i := range v.members {
		if v.members[i].IsLearner {
			n++
		}
	}
	return n
}

// add checks in etcd's order, which clients see.
func (v *View) add(m Member, maxLearners int) (*View, error) {
	if v.Member(m.ID) != nil {
		return nil, ErrIDExists
	}
	if v.urlTaken(m.ID, m.PeerURLs) {
		return nil, ErrPeerURLExists
	}
	if maxLearners > 0 && m.IsLearner && v.learners() >= maxLearners {
		return nil, ErrTooManyLearners
	}
	return v.with(func(n *View) {
		n.members = append(n.members, m)
		slices.SortFunc(n.members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	}), nil
}

func (v *View) promote(id uint64) (*View, error) {
	m := v.Member(id)
	if m == nil {
		return nil, ErrIDNotFound
	}
	if !m.IsLearner {
		return nil, ErrNotLearner
	}
	return v.with(func(n *View) {
		m := n.Member(id)
		m.IsLearner, m.AutoPromote = false, false
	}), nil
}

func (v *View) update(id uint64, peerURLs []string) (*View, error) {
	if v.Member(id) == nil {
		return nil, ErrIDNotFound
	}
	if v.urlTaken(id, peerURLs) {
		return nil, ErrPeerURLExists
	}
	return v.with(func(n *View) { n.Member(id).PeerURLs = peerURLs }), nil
}

// remove refuses the last voter, whatever the checks before the proposal said: raft
// cannot be without one, and would end every member that applies it.
func (v *View) remove(id uint64) (*View, error) {
	m := v.Member(id)
	switch {
	case m == nil:
		return nil, ErrIDNotFound
	case !m.IsLearner && len(v.members)-v.learners() == 1:
		return nil, ErrNotEnoughStarted
	}
	return v.with(func(n *View) {
		n.members = slices.DeleteFunc(n.members, func(m Member) bool { return m.ID == id })
		n.removed = make(map[uint64]struct{}, len(v.removed)+1)
		for r := range v.removed {
			n.removed[r] = struct{}{}
		}
		n.removed[id] = struct{}{}
	}), nil
}

// Publish sets what a member tells of itself. ok is false for an unknown member.
func (v *View) Publish(id uint64, name string, clientURLs []string) (next *View, ok bool) {
	if v.Member(id) == nil {
		return v, false
	}
	return v.with(func(n *View) {
		m := n.Member(id)
		m.Name, m.ClientURLs = name, clientURLs
	}), true
}

func (v *View) urlTaken(id uint64, urls []string) bool {
	for _, m := range v.members {
		if m.ID == id {
			continue
		}
		for _, u := range m.PeerURLs {
			if slices.Contains(urls, u) {
				return true
			}
		}
	}
	return false
}
