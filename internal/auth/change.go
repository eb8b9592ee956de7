package auth

import (
	"bytes"
	"encoding/base64"
	"slices"
	"sort"
	"strconv"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Change is what a request does to the rules.
type Change struct {
	// Next are the rules from here on.
	Next *Rules
	// Users and Roles are the names of the records that differ in Next: new, changed
	// or gone.
	Users, Roles []string
	// Ended is the user whose tokens are void, and AllEnded tells that all are.
	Ended    string
	AllEnded bool
	// Token, if it is not empty, is a new token of User.
	Token, User string
}

// Applies tells whether a request is one for Apply.
func Applies(req *pb.InternalRaftRequest) bool {
	return needsAdmin(req) || req.Authenticate != nil || req.AuthStatus != nil || req.AuthUserGet != nil || req.AuthRoleGet != nil
}

// needsAdmin tells which requests only administrators may make.
func needsAdmin(req *pb.InternalRaftRequest) bool {
	return req.AuthEnable != nil || req.AuthDisable != nil ||
		req.AuthUserAdd != nil || req.AuthUserDelete != nil || req.AuthUserChangePassword != nil ||
		req.AuthUserGrantRole != nil || req.AuthUserRevokeRole != nil ||
		req.AuthRoleAdd != nil || req.AuthRoleDelete != nil ||
		req.AuthRoleGrantPermission != nil || req.AuthRoleRevokePermission != nil ||
		req.AuthUserList != nil || req.AuthRoleList != nil
}

// Deed names what a request does to the rules, as etcd's log does.
func Deed(req *pb.InternalRaftRequest) string {
	switch {
	case req.AuthEnable != nil:
		return "enabled authentication"
	case req.AuthDisable != nil:
		return "disabled authentication"
	case req.AuthUserAdd != nil:
		return "added a user"
	case req.AuthUserDelete != nil:
		return "deleted a user"
	case req.AuthUserChangePassword != nil:
		return "changed a password of a user"
	case req.AuthUserGrantRole != nil:
		return "granted a role to a user"
	case req.AuthUserRevokeRole != nil:
		return "revoked a role from a user"
	case req.AuthRoleAdd != nil:
		return "created a role"
	case req.AuthRoleDelete != nil:
		return "deleted a role"
	case req.AuthRoleGrantPermission != nil:
		return "granted/updated a permission to a user"
	}
	return "revoked a permission on range"
}

// Apply carries out a request from the log, whose index is that of its entry, on
// behalf of id. An error is a refusal. Requests that only read, which etcd puts into its
// log, change nothing.
func (r *Rules) Apply(id Identity, req *pb.InternalRaftRequest, index uint64) (Change, error) {
	same := Change{Next: r}
	if needsAdmin(req) {
		if err := r.Admin(id); err != nil {
			return same, err
		}
	}
	switch {
	case req.AuthEnable != nil:
		return r.enable()
	case req.AuthDisable != nil:
		return r.disable(), nil
	case req.Authenticate != nil:
		return r.authenticate(req.Authenticate, index)
	case req.AuthUserAdd != nil:
		return r.addUser(req.AuthUserAdd)
	case req.AuthUserDelete != nil:
		return r.deleteUser(req.AuthUserDelete.Name)
	case req.AuthUserChangePassword != nil:
		return r.changePassword(req.AuthUserChangePassword)
	case req.AuthUserGrantRole != nil:
		return r.grantRole(req.AuthUserGrantRole.User, req.AuthUserGrantRole.Role)
	case req.AuthUserRevokeRole != nil:
		return r.revokeRole(req.AuthUserRevokeRole.Name, req.AuthUserRevokeRole.Role)
	case req.AuthRoleAdd != nil:
		return r.addRole(req.AuthRoleAdd.Name)
	case req.AuthRoleDelete != nil:
		return r.deleteRole(req.AuthRoleDelete.Role)
	case req.AuthRoleGrantPermission != nil:
		return r.grantPermission(req.AuthRoleGrantPermission.Name, req.AuthRoleGrantPermission.Perm)
	case req.AuthRoleRevokePermission != nil:
		return r.revokePermission(req.AuthRoleRevokePermission)
	}
	return same, nil
}

func (r *Rules) enable() (Change, error) {
	root := r.users[RootUser]
	switch {
	case r.Enabled:
	case root == nil:
		return Change{}, ErrRootUserMissing
	case !root.admin:
		return Change{}, ErrRootRoleMissing
	default:
		next := r.next()
		next.Enabled = true
		r = next
	}
	return Change{Next: r}, nil
}

func (r *Rules) disable() Change {
	if !r.Enabled {
		return Change{Next: r}
	}
	next := r.next()
	next.Enabled = false
	next.Revision++
	return Change{Next: next, AllEnded: true}
}

func (r *Rules) authenticate(req *pb.InternalAuthenticateRequest, index uint64) (Change, error) {
	u := r.User(req.Name)
	switch {
	case !r.Enabled:
		return Change{}, ErrNotEnabled
	case u == nil || u.GetOptions().GetNoPassword():
		return Change{}, ErrFailed
	}
	c := Change{Next: r}
	if req.SimpleToken != "" {
		c.User, c.Token = req.Name, req.SimpleToken+"."+strconv.FormatUint(index, 10)
	}
	return c, nil
}

// withUser is the change after which a user's record is u, or gone if it is nil.
func (r *Rules) withUser(name string, u *authpb.User) Change {
	next := r.next()
	next.Revision++
	if u == nil {
		delete(next.users, name)
	} else {
		next.users[name] = next.compile(u)
	}
	return Change{Next: next, Users: []string{name}}
}

// hashOf is the hash of a password as it is stored.
func hashOf(encoded string) ([]byte, error) {
	hash, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, ErrNoPassword
	}
	return hash, nil
}

func (r *Rules) addUser(req *pb.AuthUserAddRequest) (Change, error) {
	switch {
	case req.Name == "":
		return Change{}, ErrUserEmpty
	case r.users[req.Name] != nil:
		return Change{}, ErrUserExists
	}
	u := &authpb.User{Name: []byte(req.Name), Options: req.Options}
	if u.Options == nil {
		u.Options = &authpb.UserAddOptions{}
	}
	if !u.Options.NoPassword {
		var err error
		if u.Password, err = hashOf(req.HashedPassword); err != nil {
			return Change{}, err
		}
	}
	return r.withUser(req.Name, u), nil
}

func (r *Rules) deleteUser(name string) (Change, error) {
	switch {
	case r.Enabled && name == RootUser:
		return Change{}, ErrInvalidManagement
	case r.users[name] == nil:
		return Change{}, ErrUserNotFound
	}
	c := r.withUser(name, nil)
	c.Ended = name
	return c, nil
}

func (r *Rules) changePassword(req *pb.AuthUserChangePasswordRequest) (Change, error) {
	old := r.User(req.Name)
	if old == nil {
		return Change{}, ErrUserNotFound
	}
	u := proto.CloneOf(old)
	u.Password = nil
	if !u.GetOptions().GetNoPassword() {
		var err error
		if u.Password, err = hashOf(req.HashedPassword); err != nil {
			return Change{}, err
		}
	}
	c := r.withUser(req.Name, u)
	c.Ended = req.Name
	return c, nil
}

func (r *Rules) grantRole(name, role string) (Change, error) {
	old := r.User(name)
	switch {
	case old == nil:
		return Change{}, ErrUserNotFound
	case role != RootRole && r.roles[role] == nil:
		return Change{}, ErrRoleNotFound
	case slices.Contains(old.Roles, role):
		return Change{Next: r}, nil
	}
	u := proto.CloneOf(old)
	u.Roles = append(u.Roles, role)
	slices.Sort(u.Roles)
	return r.withUser(name, u), nil
}

func (r *Rules) revokeRole(name, role string) (Change, error) {
	old := r.User(name)
	switch {
	case r.Enabled && name == RootUser && role == RootRole:
		return Change{}, ErrInvalidManagement
	case old == nil:
		return Change{}, ErrUserNotFound
	case !slices.Contains(old.Roles, role):
		return Change{}, ErrRoleNotGranted
	}
	return r.withUser(name, withoutRole(old, role)), nil
}

func withoutRole(u *authpb.User, role string) *authpb.User {
	u = proto.CloneOf(u)
	u.Roles = slices.DeleteFunc(u.Roles, func(name string) bool { return name == role })
	return u
}

// withRole is the change after which a role's record is role, or gone if it is nil.
func (r *Rules) withRole(name string, role *authpb.Role) Change {
	next := r.next()
	next.Revision++
	if role == nil {
		delete(next.roles, name)
	} else {
		next.roles[name] = role
	}
	for user, u := range next.users {
		if slices.Contains(u.record.Roles, name) {
			next.users[user] = next.compile(u.record)
		}
	}
	return Change{Next: next, Roles: []string{name}}
}

func (r *Rules) addRole(name string) (Change, error) {
	switch {
	case name == "":
		return Change{}, ErrRoleEmpty
	case r.roles[name] != nil:
		return Change{}, ErrRoleExists
	}
	return r.withRole(name, &authpb.Role{Name: []byte(name)}), nil
}

// deleteRole takes a role from all who hold it, too.
func (r *Rules) deleteRole(name string) (Change, error) {
	switch {
	case r.Enabled && name == RootRole:
		return Change{}, ErrInvalidManagement
	case r.roles[name] == nil:
		return Change{}, ErrRoleNotFound
	}
	c := r.withRole(name, nil)
	for _, user := range c.Next.UserNames() {
		if c.Next.HasRole(user, name) {
			c.Next.users[user] = c.Next.compile(withoutRole(c.Next.User(user), name))
			c.Users = append(c.Users, user)
		}
	}
	return c, nil
}

// grantPermission replaces the type of a permission on the same keys; as in etcd it
// looks only at the first that begins with the same key.
func (r *Rules) grantPermission(name string, p *authpb.Permission) (Change, error) {
	old := r.roles[name]
	switch {
	case p == nil:
		return Change{}, ErrPermissionNotGiven
	case !validPermission(p):
		return Change{}, ErrInvalidManagement
	case old == nil:
		return Change{}, ErrRoleNotFound
	}
	role := proto.CloneOf(old)
	perms := role.KeyPermission
	at := sort.Search(len(perms), func(i int) bool { return bytes.Compare(perms[i].Key, p.Key) >= 0 })
	if at < len(perms) && sameKeys(perms[at], p.Key, p.RangeEnd) {
		perms[at].PermType = p.PermType
	} else {
		role.KeyPermission = append(perms, &authpb.Permission{Key: p.Key, RangeEnd: p.RangeEnd, PermType: p.PermType})
		// The order among equals is part of what is stored and asked about, so it is
		// made the way that etcd makes it, which is not stable.
		sort.Sort(byKey(role.KeyPermission))
	}
	return r.withRole(name, role), nil
}

// byKey orders permissions by their first keys.
type byKey []*authpb.Permission

func (p byKey) Len() int           { return len(p) }
func (p byKey) Less(i, j int) bool { return bytes.Compare(p[i].Key, p[j].Key) < 0 }
func (p byKey) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }

func sameKeys(p *authpb.Permission, key, end []byte) bool {
	return bytes.Equal(p.Key, key) && bytes.Equal(p.RangeEnd, end)
}

// validPermission tells whether a permission has a key, and an end above it if it has
// one.
func validPermission(p *authpb.Permission) bool {
	s := spanOf(string(p.Key), string(p.RangeEnd))
	return s.begin != "" && (s.open || s.end > s.begin)
}

func (r *Rules) revokePermission(req *pb.AuthRoleRevokePermissionRequest) (Change, error) {
	old := r.roles[req.Role]
	if old == nil {
		return Change{}, ErrRoleNotFound
	}
	role := proto.CloneOf(old)
	role.KeyPermission = slices.DeleteFunc(role.KeyPermission, func(p *authpb.Permission) bool {
		return sameKeys(p, req.Key, req.RangeEnd)
	})
	if len(role.KeyPermission) == len(old.KeyPermission) {
		return Change{}, ErrPermissionNotGranted
	}
	return r.withRole(req.Role, role), nil
}
