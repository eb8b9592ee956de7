package auth

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

type irr = pb.InternalRaftRequest

func addUser(name string) *irr {
	return &irr{AuthUserAdd: &pb.AuthUserAddRequest{Name: name, HashedPassword: base64.StdEncoding.EncodeToString([]byte("hash of " + name))}}
}
func deleteUser(name string) *irr {
	return &irr{AuthUserDelete: &pb.AuthUserDeleteRequest{Name: name}}
}
func addRole(name string) *irr { return &irr{AuthRoleAdd: &pb.AuthRoleAddRequest{Name: name}} }
func deleteRole(name string) *irr {
	return &irr{AuthRoleDelete: &pb.AuthRoleDeleteRequest{Role: name}}
}
func grant(user, role string) *irr {
	return &irr{AuthUserGrantRole: &pb.AuthUserGrantRoleRequest{User: user, Role: role}}
}
func revoke(user, role string) *irr {
	return &irr{AuthUserRevokeRole: &pb.AuthUserRevokeRoleRequest{Name: user, Role: role}}
}
func permit(role string, kind authpb.Permission_Type, key, end string) *irr {
	return &irr{AuthRoleGrantPermission: &pb.AuthRoleGrantPermissionRequest{Name: role,
		Perm: &authpb.Permission{PermType: kind, Key: []byte(key), RangeEnd: []byte(end)}}}
}
func forbid(role, key, end string) *irr {
	return &irr{AuthRoleRevokePermission: &pb.AuthRoleRevokePermissionRequest{Role: role, Key: []byte(key), RangeEnd: []byte(end)}}
}
func password(user, hash string) *irr {
	return &irr{AuthUserChangePassword: &pb.AuthUserChangePasswordRequest{Name: user, HashedPassword: hash}}
}
func login(user string) *irr {
	return &irr{Authenticate: &pb.InternalAuthenticateRequest{Name: user, SimpleToken: "prefix"}}
}

const (
	read      = authpb.Permission_READ
	write     = authpb.Permission_WRITE
	readWrite = authpb.Permission_READWRITE
)

// played are the rules after requests that must all succeed.
func played(t *testing.T, id Identity, reqs ...*irr) *Rules {
	t.Helper()
	r := NewRules(false, 0, nil, nil)
	for i, req := range reqs {
		c, err := r.Apply(id, req, uint64(i+1))
		if err != nil {
			t.Fatalf("%v: %v", req, err)
		}
		r = c.Next
	}
	return r
}

// controlled are rules that are enabled, with some users.
func controlled(t *testing.T, more ...*irr) *Rules {
	t.Helper()
	reqs := []*irr{addUser("root"), grant("root", "root"), addUser("u"), addRole("r"), grant("u", "r"), {AuthEnable: &pb.AuthEnableRequest{}}}
	return played(t, Identity{User: "root", Revision: 1}, append(reqs, more...)...)
}

func TestApplyRefusesInOrder(t *testing.T) {
	root, nobody, u, ghost := Identity{User: "root", Revision: 9}, Identity{}, Identity{User: "u", Revision: 9}, Identity{User: "ghost", Revision: 9}
	enable, disable := &irr{AuthEnable: &pb.AuthEnableRequest{}}, &irr{AuthDisable: &pb.AuthDisableRequest{}}
	open := []*irr{addUser("u"), addRole("r"), addRole("root"), grant("u", "r"), permit("r", read, "a", "c")}
	tests := []struct {
		name    string
		enabled bool
		id      Identity
		req     *irr
		want    error
	}{
		{"no root", false, nobody, enable, ErrRootUserMissing},
		{"unnamed user", false, nobody, addUser(""), ErrUserEmpty},
		{"user again", false, nobody, addUser("u"), ErrUserExists},
		{"no hash", false, nobody, &irr{AuthUserAdd: &pb.AuthUserAddRequest{Name: "x", HashedPassword: "%"}}, ErrNoPassword},
		{"no such user", false, nobody, deleteUser("x"), ErrUserNotFound},
		{"password of nobody", false, nobody, password("x", ""), ErrUserNotFound},
		{"user before role", false, nobody, grant("x", "y"), ErrUserNotFound},
		{"no such role", false, nobody, grant("u", "y"), ErrRoleNotFound},
		{"the role root need not exist", false, nobody, grant("u", "root"), nil},
		{"not granted", false, nobody, revoke("u", "root"), ErrRoleNotGranted},
		{"revoke from nobody", false, nobody, revoke("x", "r"), ErrUserNotFound},
		{"unnamed role", false, nobody, addRole(""), ErrRoleEmpty},
		{"role again", false, nobody, addRole("r"), ErrRoleExists},
		{"no role to delete", false, nobody, deleteRole("x"), ErrRoleNotFound},
		{"no permission", false, nobody, &irr{AuthRoleGrantPermission: &pb.AuthRoleGrantPermissionRequest{Name: "x"}}, ErrPermissionNotGiven},
		{"permission before role", false, nobody, permit("x", read, "", ""), ErrInvalidManagement},
		{"end below key", false, nobody, permit("r", read, "b", "a"), ErrInvalidManagement},
		{"end at key", false, nobody, permit("r", read, "b", "b"), ErrInvalidManagement},
		{"permission of no role", false, nobody, permit("x", read, "a", "\x00"), ErrRoleNotFound},
		{"forbid of no role", false, nobody, forbid("x", "a", "c"), ErrRoleNotFound},
		{"forbid another range", false, nobody, forbid("r", "a", "b"), ErrPermissionNotGranted},
		{"log in without access control", false, nobody, login("u"), ErrNotEnabled},
		{"disabled already", false, nobody, disable, nil},

		{"nobody", true, nobody, addUser("x"), ErrUserEmpty},
		{"not an administrator", true, u, addUser("x"), ErrDenied},
		{"who is not there", true, ghost, disable, ErrUserNotFound},
		{"only administrators enable", true, u, enable, ErrDenied},
		{"only administrators see all users", true, u, &irr{AuthUserList: &pb.AuthUserListRequest{}}, ErrDenied},
		{"enabled already", true, root, enable, nil},
		{"an old administrator", true, Identity{User: "root", Revision: 1}, addUser("x"), nil},
		{"root stays", true, root, deleteUser("root"), ErrInvalidManagement},
		{"root stays root", true, root, revoke("root", "root"), ErrInvalidManagement},
		{"the role root stays", true, root, deleteRole("root"), ErrInvalidManagement},
		{"log in as nobody", true, nobody, login("x"), ErrFailed},
		{"log in", true, nobody, login("u"), nil},
	}
	for _, test := range tests {
		r := played(t, nobody, open...)
		if test.enabled {
			r = controlled(t, addRole("root"))
		}
		before := *r
		c, err := r.Apply(test.id, test.req, 7)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err == nil && c.Next == nil {
			t.Errorf("%s: no rules are left", test.name)
		}
		if !r.Equal(&before) {
			t.Errorf("%s: the rules were changed in place", test.name)
		}
	}
}

func TestEnableWantsTheRoleRoot(t *testing.T) {
	r := played(t, Identity{}, addUser("root"))
	if _, err := r.Apply(Identity{}, &irr{AuthEnable: &pb.AuthEnableRequest{}}, 1); !errors.Is(err, ErrRootRoleMissing) {
		t.Fatal(err)
	}
}

// TestRevisions: what moves the revision, and which records and tokens a change
// touches.
func TestRevisions(t *testing.T) {
	root := Identity{User: "root", Revision: 1}
	steps := []struct {
		name         string
		req          *irr
		moves        uint64
		users, roles []string
		ended        string
		all          bool
		token        string
	}{
		{"add a user", addUser("v"), 1, []string{"v"}, nil, "", false, ""},
		{"add a role", addRole("s"), 1, nil, []string{"s"}, "", false, ""},
		{"grant", grant("v", "s"), 1, []string{"v"}, nil, "", false, ""},
		{"grant again", grant("v", "s"), 0, nil, nil, "", false, ""},
		{"permit", permit("s", read, "k", ""), 1, nil, []string{"s"}, "", false, ""},
		{"permit again", permit("s", read, "k", ""), 1, nil, []string{"s"}, "", false, ""},
		{"log in", login("v"), 0, nil, nil, "", false, "prefix.7"},
		{"password", password("v", ""), 1, []string{"v"}, nil, "v", false, ""},
		{"forbid", forbid("s", "k", ""), 1, nil, []string{"s"}, "", false, ""},
		{"grant to another", grant("u", "s"), 1, []string{"u"}, nil, "", false, ""},
		{"delete a role that two hold", deleteRole("s"), 1, []string{"u", "v"}, []string{"s"}, "", false, ""},
		{"revoke", revoke("u", "r"), 1, []string{"u"}, nil, "", false, ""},
		{"delete a user", deleteUser("v"), 1, []string{"v"}, nil, "v", false, ""},
		{"enable again", &irr{AuthEnable: &pb.AuthEnableRequest{}}, 0, nil, nil, "", false, ""},
		{"a question in the log", &irr{AuthStatus: &pb.AuthStatusRequest{}}, 0, nil, nil, "", false, ""},
		{"disable", &irr{AuthDisable: &pb.AuthDisableRequest{}}, 1, nil, nil, "", true, ""},
		{"disable again", &irr{AuthDisable: &pb.AuthDisableRequest{}}, 0, nil, nil, "", false, ""},
	}
	r := controlled(t)
	for _, s := range steps {
		c, err := r.Apply(root, s.req, 7)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if got := c.Next.Revision - r.Revision; got != s.moves {
			t.Errorf("%s: the revision moves by %d, want %d", s.name, got, s.moves)
		}
		if !slices.Equal(c.Users, s.users) || !slices.Equal(c.Roles, s.roles) {
			t.Errorf("%s: changes users %q and roles %q, want %q and %q", s.name, c.Users, c.Roles, s.users, s.roles)
		}
		if c.Ended != s.ended || c.AllEnded != s.all || c.Token != s.token {
			t.Errorf("%s: %+v, want ended %q (all %v), token %q", s.name, c, s.ended, s.all, s.token)
		}
		r = c.Next
	}
}

// TestCompiledAsLoaded: rules that came about step by step are those that are read from
// the records.
func TestCompiledAsLoaded(t *testing.T) {
	r := controlled(t, permit("r", read, "a", "c"), permit("r", write, "b", "\x00"), addRole("s"), permit("s", readWrite, "x", ""), grant("u", "s"),
		forbid("r", "b", "\x00"), permit("s", read, "x", ""))
	var users []*authpb.User
	var roles []*authpb.Role
	for _, name := range r.UserNames() {
		users = append(users, r.User(name))
	}
	for _, name := range r.RoleNames() {
		roles = append(roles, r.Role(name))
	}
	loaded := NewRules(r.Enabled, r.Revision, users, roles)
	if !r.Equal(loaded) {
		t.Fatal("the records differ")
	}
	for name, u := range r.users {
		if l := loaded.users[name]; !slices.Equal(u.read, l.read) || !slices.Equal(u.write, l.write) || u.admin != l.admin {
			t.Errorf("%s may %v %v %v, loaded %v %v %v", name, u.read, u.write, u.admin, l.read, l.write, l.admin)
		}
	}
}
