package security

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"bowline/internal/member"
	"bowline/internal/testkit"

	"github.com/golang-jwt/jwt/v5"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// read is a read of a key that mallory may read, with a token.
func (r *authRig) read(token string) error {
	_, err := pb.NewKVClient(r.plain).Range(r.with(token), &pb.RangeRequest{Key: []byte("m/own")})
	return err
}

// readNothing is a transaction without operations.
func (r *authRig) readNothing(token string) error {
	_, err := pb.NewKVClient(r.plain).Txn(r.with(token), new(pb.TxnRequest))
	return err
}

func wantInvalid(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() != "etcdserver: invalid auth token" {
		t.Errorf("%s: %v, want an invalid token", what, err)
	}
}

// TestTokensEndWithWhatTheyStandFor: what becomes of a token that was valid.
func TestTokensEndWithWhatTheyStandFor(t *testing.T) {
	r := withMallory(t, nil)
	auth := pb.NewAuthClient(r.plain)
	old := r.tokens["mallory"]
	r.must(r.read(old))

	// A role that is taken away, and given back: the token stays, the right does not.
	_, err := auth.UserRevokeRole(r.as("root"), &pb.AuthUserRevokeRoleRequest{Name: "mallory", Role: "m"})
	r.must(err)
	wantDenied(t, "without the role", r.read(old))
	_, err = auth.UserGrantRole(r.as("root"), &pb.AuthUserGrantRoleRequest{User: "mallory", Role: "m"})
	r.must(err)
	r.must(r.read(old))

	// A permission that the role loses.
	perm := &pb.AuthRoleRevokePermissionRequest{Role: "m", Key: []byte("m/"), RangeEnd: []byte("m0")}
	_, err = auth.RoleRevokePermission(r.as("root"), perm)
	r.must(err)
	wantDenied(t, "without the permission", r.read(old))
	r.addRole("m", authpb.Permission_READWRITE, "m/", "m0")
	r.must(r.read(old))

	// Another password: the token ends, and so does the old password, which was
	// remembered.
	_, err = auth.UserChangePassword(r.as("root"), &pb.AuthUserChangePasswordRequest{Name: "mallory", Password: "new"})
	r.must(err)
	wantInvalid(t, "after a change of password", r.read(old))
	_, err = auth.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "mallory", Password: "pw-mallory"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("the old password: %v", err)
	}
	resp, err := auth.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "mallory", Password: "new"})
	r.must(err)
	old = resp.Token
	r.must(r.read(old))

	// A user who is deleted, and another of the same name.
	_, err = auth.UserDelete(r.as("root"), &pb.AuthUserDeleteRequest{Name: "mallory"})
	r.must(err)
	wantInvalid(t, "of a deleted user", r.read(old))
	r.addUser("mallory", "m")
	wantInvalid(t, "of the former user of the name", r.read(old))

	// Access control that goes off and on again.
	r.login("mallory")
	_, err = auth.AuthDisable(r.as("root"), &pb.AuthDisableRequest{})
	r.must(err)
	r.must(r.read("garbage"))
	_, err = auth.AuthEnable(t.Context(), &pb.AuthEnableRequest{})
	r.must(err)
	wantInvalid(t, "of before access control went off", r.read(r.tokens["mallory"]))
	wantInvalid(t, "even root's", r.read(r.tokens["root"]))
}

func TestTokensExpireUnlessUsed(t *testing.T) {
	r := withMallory(t, func(c *member.Config) { c.TokenTTL = 2 * time.Second })
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(5 * time.Second); (<-tick.C).Before(until); {
		r.must(r.read(r.tokens["mallory"])) // in use, it lives on
	}
	// Not used, root's has ended.
	wantInvalid(t, "root's", r.read(r.tokens["root"]))
}

// TestRestart: users, roles and that access is controlled outlive a restart, tokens do
// not.
func TestRestart(t *testing.T) {
	r := withMallory(t, nil)
	before, err := pb.NewAuthClient(r.plain).AuthStatus(t.Context(), &pb.AuthStatusRequest{})
	r.must(err)
	token := r.tokens["mallory"]
	r.restart()
	if err := r.read(""); status.Convert(err).Message() != "etcdserver: user name is empty" {
		t.Errorf("nobody, after a restart: %v", err)
	}
	r.login("root", "mallory")
	r.must(r.read(r.tokens["mallory"]))
	if token == r.tokens["mallory"] {
		t.Error("a token was given out twice")
	}
	wantDenied(t, "after a restart", r.put("mallory", "secret", "x", 0))
	after, err := pb.NewAuthClient(r.plain).AuthStatus(t.Context(), &pb.AuthStatusRequest{})
	r.must(err)
	if !after.Enabled || after.AuthRevision != before.AuthRevision {
		t.Errorf("status %v, before %v", after, before)
	}
	perms, err := pb.NewAuthClient(r.plain).RoleGet(r.as("mallory"), &pb.AuthRoleGetRequest{Role: "m"})
	r.must(err)
	if len(perms.Perm) != 2 {
		t.Errorf("the role has %v", perms.Perm)
	}
}

// TestGuessing: what the server answers to a wrong password does not tell who exists.
func TestGuessing(t *testing.T) {
	r := withMallory(t, nil)
	auth := pb.NewAuthClient(r.plain)
	var texts []string
	for _, req := range []*pb.AuthenticateRequest{
		{Name: "mallory", Password: "x"}, {Name: "root", Password: ""}, {Name: "ghost", Password: "x"}, {}, {Name: "root", Password: strings.Repeat("x", 100)},
	} {
		_, err := auth.Authenticate(t.Context(), req)
		texts = append(texts, status.Code(err).String()+" "+status.Convert(err).Message())
	}
	for _, text := range texts {
		if text != "InvalidArgument etcdserver: authentication failed, invalid user ID or password" {
			t.Errorf("%q", texts)
		}
	}
	// Strangers do not get the server to hash passwords for them.
	_, err := auth.UserAdd(t.Context(), &pb.AuthUserAddRequest{Name: "x", Password: strings.Repeat("x", 100)})
	if status.Convert(err).Message() != "etcdserver: user name is empty" {
		t.Errorf("a stranger's new user: %v", err)
	}
}

// TestJWT: tokens that sign themselves, replayed, forged and old.
func TestJWT(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pubFile, privFile, err := testkit.WriteKeys(t.TempDir(), private)
	if err != nil {
		t.Fatal(err)
	}
	r := withMallory(t, func(c *member.Config) {
		c.AuthToken = "jwt,sign-method=EdDSA,pub-key=" + pubFile + ",priv-key=" + privFile + ",ttl=1h"
	})
	mine := r.tokens["mallory"]
	r.must(r.read(mine))
	r.must(r.put("mallory", "m/own", "v", 0))

	_, other, err := ed25519.GenerateKey(rand.Reader)
	r.must(err)
	claims := jwt.MapClaims{"username": "root", "revision": 99, "exp": time.Now().Add(time.Hour).Unix()}
	sign := func(m jwt.SigningMethod, key any) string {
		s, err := jwt.NewWithClaims(m, claims).SignedString(key)
		r.must(err)
		return s
	}
	head := strings.Join(strings.Split(mine, ".")[:2], ".")
	for what, token := range map[string]string{
		"signed by nobody": sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), "signed by another": sign(jwt.SigningMethodEdDSA, other),
		"signed with the public key": sign(jwt.SigningMethodHS256, []byte(public)), "cut off": head + ".", "a simple token": "abcdefghijklmnop.5",
	} {
		wantInvalid(t, what, r.read(token))
		wantInvalid(t, what, firstOfMembers(r, token))
	}
	// One of another time, or another cluster with the same key, reads nothing.
	err = r.read(sign(jwt.SigningMethodEdDSA, private))
	if status.Convert(err).Message() != "etcdserver: revision of auth store is old" {
		t.Errorf("of the future: %v", err)
	}
	// Any change of users or roles makes those void that were given out before, for
	// keys. Replaying them does not help.
	r.addUser("another")
	for what, err := range map[string]error{"read": r.read(mine), "read of nothing": r.readNothing(mine), "write": r.put("mallory", "m/own", "v", 0), "root's write": r.put("root", "m/own", "v", 0)} {
		if status.Convert(err).Message() != "etcdserver: revision of auth store is old" || status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s with a token of before: %v", what, err)
		}
	}
	r.must(firstOfMembers(r, mine))
	r.login("mallory")
	r.must(r.read(r.tokens["mallory"]))
	r.must(r.readNothing(r.tokens["mallory"]))
	// They need no memory of the server's: a restart ends none.
	r.restart()
	r.must(r.read(r.tokens["mallory"]))
}

// firstOfMembers asks for the list of members with a token.
func firstOfMembers(r *authRig, token string) error {
	_, err := pb.NewClusterClient(r.plain).MemberList(r.with(token), &pb.MemberListRequest{})
	return err
}

// TestNoTokens: without a kind of tokens only certificates count.
func TestNoTokens(t *testing.T) {
	r := startAuth(t, func(c *member.Config) { c.AuthToken = "" })
	r.addUser("root", "root")
	r.addRole("c", authpb.Permission_READ, "k", "")
	r.addUser("certified", "c")
	r.enable()
	if r.tokens["root"] != "" {
		t.Errorf("a token was given out: %q", r.tokens["root"])
	}
	wantInvalid(t, "any token", r.read("abcdefghijklmnop.5"))
	_, err := pb.NewKVClient(r.named).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")})
	r.must(err)
}
