package exchange

import (
	"fmt"
	"strings"

	"bowline/internal/cluster"
	"bowline/internal/lease"

	"go.etcd.io/etcd/api/v3/authpb"
)

// Kind is what a shown record is.
type Kind string

// The kinds, in the order in which they are shown.
const (
	KindPiece   Kind = "piece" // of an archive
	KindEntry   Kind = "entry"
	KindMark    Kind = "mark" // what there is one of: indexes, revisions, versions
	KindMember  Kind = "member"
	KindAlarm   Kind = "alarm"
	KindUser    Kind = "user"
	KindRole    Kind = "role"
	KindLease   Kind = "lease"
	KindVersion Kind = "version"
	KindV2      Kind = "v2"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{KindPiece, KindEntry, KindMark, KindMember, KindAlarm, KindUser, KindRole, KindLease, KindVersion, KindV2}
}

// Shown is a record: String is for people, its JSON for programs. Passwords, and their
// hashes, are in neither.
type Shown interface{ fmt.Stringer }

// Mark is a number or a name that a state has one of.
type Mark struct {
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"`
	Value any    `json:"value"`
}

func (m Mark) String() string { return fmt.Sprintf("mark %s: %v", m.Name, m.Value) }

// ShownMember is a member, or a tombstone of one.
type ShownMember struct {
	Kind    Kind `json:"kind"`
	Removed bool `json:"removed,omitempty"`
	cluster.Member
}

func (m ShownMember) String() string {
	if m.Removed {
		return fmt.Sprintf("member %x: removed", m.ID)
	}
	text := fmt.Sprintf("member %x: %q, peers %s, clients %s", m.ID, m.Name, strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ","))
	if m.IsLearner {
		text += ", a learner"
	}
	return text
}

// ShownAlarm is an alarm that is raised.
type ShownAlarm struct {
	Kind     Kind   `json:"kind"`
	Alarm    string `json:"alarm"`
	MemberID uint64 `json:"memberID"`
}

func (a ShownAlarm) String() string {
	return fmt.Sprintf("alarm %s: of member %x", a.Alarm, a.MemberID)
}

// ShownUser is a user.
type ShownUser struct {
	Kind  Kind     `json:"kind"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
	// NoPassword is a user who has none, and comes with a certificate.
	NoPassword bool `json:"noPassword,omitempty"`
}

func shownUser(u *authpb.User) ShownUser {
	return ShownUser{KindUser, string(u.Name), append([]string{}, u.Roles...), u.GetOptions().GetNoPassword()}
}

func (u ShownUser) String() string {
	text := fmt.Sprintf("user %q: roles %q", u.Name, u.Roles)
	if u.NoPassword {
		text += ", without a password"
	}
	return text
}

// ShownRole is a role.
type ShownRole struct {
	Kind        Kind              `json:"kind"`
	Name        string            `json:"name"`
	Permissions []ShownPermission `json:"permissions"`
}

// ShownPermission is of a role; a RangeEnd of "\x00" is no end.
type ShownPermission struct {
	Type     string `json:"type"`
	Key      []byte `json:"key"`
	RangeEnd []byte `json:"rangeEnd,omitempty"`
}

func shownRole(r *authpb.Role) ShownRole {
	s := ShownRole{Kind: KindRole, Name: string(r.Name), Permissions: []ShownPermission{}}
	for _, p := range r.KeyPermission {
		s.Permissions = append(s.Permissions, ShownPermission{p.PermType.String(), p.Key, p.RangeEnd})
	}
	return s
}

func (r ShownRole) String() string {
	text := fmt.Sprintf("role %q:", r.Name)
	for i, p := range r.Permissions {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(" %s %q", strings.ToLower(p.Type), p.Key)
		if len(p.RangeEnd) > 0 {
			text += fmt.Sprintf(" to %q", p.RangeEnd)
		}
	}
	return text
}

// ShownLease is a lease. TTLs are in seconds.
type ShownLease struct {
	Kind Kind  `json:"kind"`
	ID   int64 `json:"id"`
	TTL  int64 `json:"ttl"`
	// Remaining is what was left at the last checkpoint, if there was one.
	Remaining int64 `json:"remaining,omitempty"`
}

func shownLease(l lease.Lease) ShownLease { return ShownLease{KindLease, l.ID, l.TTL, l.Remaining} }

func (l ShownLease) String() string {
	text := fmt.Sprintf("lease %016x: granted %d s", uint64(l.ID), l.TTL)
	if l.Remaining > 0 {
		text += fmt.Sprintf(", %d s left at its last checkpoint", l.Remaining)
	}
	return text
}

// ShownVersion is a version of a key. Of a deletion only key, revision and change are
// known.
type ShownVersion struct {
	Kind     Kind   `json:"kind"`
	Key      []byte `json:"key"`
	Revision int64  `json:"revision"`
	Sub      int64  `json:"sub"`
	// Change is created, updated or deleted.
	Change  string `json:"change"`
	Create  int64  `json:"createRevision,omitempty"`
	Version int64  `json:"version,omitempty"`
	Lease   int64  `json:"lease,omitempty"`
	// Size is that of the value.
	Size  int    `json:"size"`
	Value []byte `json:"value,omitempty"`

	values bool
}

func (v ShownVersion) String() string {
	text := fmt.Sprintf("version %q: %s at %d.%d", v.Key, v.Change, v.Revision, v.Sub)
	if v.Change == changeDeleted {
		return text
	}
	text += fmt.Sprintf(", created at %d, version %d, %d bytes", v.Create, v.Version, v.Size)
	if v.Lease != 0 {
		text += fmt.Sprintf(", lease %016x", uint64(v.Lease))
	}
	if v.values {
		text += fmt.Sprintf(": %q", v.Value)
	}
	return text
}

// The changes of a version.
const (
	changeCreated = "created"
	changeUpdated = "updated"
	changeDeleted = "deleted"
)
