package auth

import (
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	"google.golang.org/protobuf/proto"
)

// RootUser must exist before access control can be enabled, and RootRole is what
// makes a user an administrator, whether a role of this name is stored or not.
const (
	RootUser = "root"
	RootRole = "root"
)

// Identity is who asks for something: nobody, if it is empty.
type Identity struct {
	User string
	// Revision is that of the rules when the user proved to be who it is. 0 means that
	// nobody has proved anything.
	Revision uint64
}

// Rules are the users, roles and permissions at one moment. They never change, so they
// may be read by anybody; what they return must not be modified.
type Rules struct {
	// Enabled tells whether callers are asked who they are.
	Enabled bool
	// Revision counts the changes, from 1.
	Revision uint64
	users    map[string]*user
	roles    map[string]*authpb.Role
}

// user is a user with what follows from its roles.
type user struct {
	record      *authpb.User
	admin       bool
	read, write spans
}

// firstRevision is that of rules that nobody has changed.
const firstRevision = 1

// NewRules makes rules of stored records; a revision of 0 is the first.
func NewRules(enabled bool, revision uint64, users []*authpb.User, roles []*authpb.Role) *Rules {
	r := &Rules{Enabled: enabled, Revision: max(revision, firstRevision),
		users: make(map[string]*user, len(users)), roles: make(map[string]*authpb.Role, len(roles))}
	for _, role := range roles {
		r.roles[string(role.Name)] = role
	}
	for _, u := range users {
		r.users[string(u.Name)] = r.compile(u)
	}
	return r
}

// compile works out what a user may do.
func (r *Rules) compile(record *authpb.User) *user {
	u := &user{record: record, admin: slices.Contains(record.Roles, RootRole)}
	var read, write []span
	for _, name := range record.Roles {
		for _, p := range r.roles[name].GetKeyPermission() {
			s := spanOf(string(p.Key), string(p.RangeEnd))
			if p.PermType == authpb.Permission_READ || p.PermType == authpb.Permission_READWRITE {
				read = append(read, s)
			}
			if p.PermType == authpb.Permission_WRITE || p.PermType == authpb.Permission_READWRITE {
				write = append(write, s)
			}
		}
	}
	u.read, u.write = newSpans(read), newSpans(write)
	return u
}

// next is a copy of r that may be changed until it is shown to others.
func (r *Rules) next() *Rules {
	c := *r
	c.users, c.roles = maps.Clone(r.users), maps.Clone(r.roles)
	return &c
}

// User is the record of a user, nil if there is none.
func (r *Rules) User(name string) *authpb.User {
	if u := r.users[name]; u != nil {
		return u.record
	}
	return nil
}

// Role is the record of a role, nil if there is none.
func (r *Rules) Role(name string) *authpb.Role { return r.roles[name] }

// UserNames are the names of all users, in order.
func (r *Rules) UserNames() []string { return slices.Sorted(maps.Keys(r.users)) }

// RoleNames are the names of all roles, in order.
func (r *Rules) RoleNames() []string { return slices.Sorted(maps.Keys(r.roles)) }

// HasRole tells whether a user holds a role.
func (r *Rules) HasRole(name, role string) bool {
	return slices.Contains(r.User(name).GetRoles(), role)
}

// Admin refuses whoever is not an administrator. It does not look at the identity's
// revision.
func (r *Rules) Admin(id Identity) error {
	switch u := r.users[id.User]; {
	case !r.Enabled:
		return nil
	case id.User == "":
		return ErrUserEmpty
	case u == nil:
		return ErrUserNotFound
	case !u.admin:
		return ErrDenied
	}
	return nil
}

// permit refuses an identity that may not do something to a key or range.
func (r *Rules) permit(id Identity, n Need) error {
	switch u := r.users[id.User]; {
	case id.Revision == 0:
		return ErrUserEmpty
	case id.Revision < r.Revision:
		return ErrOldRevision
	case u == nil || !u.may(n):
		return ErrDenied
	}
	return nil
}

func (u *user) may(n Need) bool {
	if u.admin {
		return true
	}
	s := u.read
	if n.Write {
		s = u.write
	}
	if len(n.End) == 0 {
		return s.coverKey(n.Key)
	}
	return s.coverRange(n.Key, n.End)
}

// Equal tells whether two rules say the same.
func (r *Rules) Equal(o *Rules) bool {
	return r.Enabled == o.Enabled && r.Revision == o.Revision &&
		maps.EqualFunc(r.roles, o.roles, func(a, b *authpb.Role) bool { return proto.Equal(a, b) }) &&
		maps.EqualFunc(r.users, o.users, func(a, b *user) bool { return proto.Equal(a.record, b.record) })
}
