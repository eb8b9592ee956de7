package fsm

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"bowline/internal/auth"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

type irr = pb.InternalRaftRequest

// toldTokens keeps the tokens that a state machine tells of.
type toldTokens map[string]string

func (t toldTokens) Assign(user, token string) { t[token] = user }
func (t toldTokens) EndOf(user string) {
	maps.DeleteFunc(t, func(_, u string) bool { return u == user })
}
func (t toldTokens) EndAll() { clear(t) }

// firstUsers makes root, two users with a role each, and leases; then it enables access
// control.
func firstUsers() []*irr {
	hash := base64.StdEncoding.EncodeToString([]byte("hash"))
	var reqs []*irr
	for _, u := range []string{"root", "a", "b"} {
		reqs = append(reqs, &irr{AuthUserAdd: &pb.AuthUserAddRequest{Name: u, HashedPassword: hash}},
			&irr{AuthRoleAdd: &pb.AuthRoleAddRequest{Name: u}},
			&irr{AuthUserGrantRole: &pb.AuthUserGrantRoleRequest{User: u, Role: u}},
			&irr{AuthRoleGrantPermission: &pb.AuthRoleGrantPermissionRequest{Name: u,
				Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte(u), RangeEnd: []byte(u + "z")}}})
	}
	for id := range int64(3) {
		reqs = append(reqs, &irr{LeaseGrant: &pb.LeaseGrantRequest{ID: id + 1, TTL: 3600}})
	}
	return append(reqs, &irr{AuthEnable: &pb.AuthEnableRequest{}})
}

// anyRequest is what somebody may ask for while access is controlled. revision guesses
// that of the rules.
func anyRequest(rng *rand.Rand, id, revision uint64) *irr {
	who := []string{"root", "a", "b", ""}[rng.IntN(4)]
	key := []byte(fmt.Sprintf("%c%d", "abc"[rng.IntN(3)], rng.IntN(3)))
	lease := rng.Int64N(4)
	put := &pb.PutRequest{Key: key, Lease: lease, PrevKv: rng.IntN(4) == 0}
	req := new(irr)
	switch n := rng.IntN(20); {
	case n < 11:
		req.Put = put
	case n < 13:
		req.DeleteRange = &pb.DeleteRangeRequest{Key: key, RangeEnd: []byte("c")}
	case n < 15:
		req.Txn = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}}}
	case n < 17:
		req.LeaseRevoke = &pb.LeaseRevokeRequest{ID: lease}
	case n < 18:
		req.LeaseGrant = &pb.LeaseGrantRequest{ID: lease + 1, TTL: 3600}
	case n < 19:
		req.Authenticate = &pb.InternalAuthenticateRequest{Name: who, SimpleToken: "prefixprefixpref"}
	default:
		role := []*irr{
			{AuthUserRevokeRole: &pb.AuthUserRevokeRoleRequest{Name: "a", Role: "a"}},
			{AuthUserGrantRole: &pb.AuthUserGrantRoleRequest{User: "a", Role: "a"}},
			{AuthUserChangePassword: &pb.AuthUserChangePasswordRequest{Name: "b"}},
			{AuthRoleDelete: &pb.AuthRoleDeleteRequest{Role: "b"}},
			{AuthRoleAdd: &pb.AuthRoleAddRequest{Name: "b"}},
			{AuthStatus: &pb.AuthStatusRequest{}},
		}
		req, who = role[rng.IntN(len(role))], "root"
	}
	req.Header = &pb.RequestHeader{ID: id, Username: who}
	if who != "" {
		req.Header.AuthRevision = revision - uint64(rng.IntN(8)/7)
	}
	return req
}

// TestAccessDoesNotHangOnGroups applies one log in large groups, one by one, and with a
// crash in the middle: who may do what comes out the same, above all where it hangs on
// the keys that are attached to a lease just then.
func TestAccessDoesNotHangOnGroups(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 4))
		together, single := newRig(t), newRig(t)
		tokens, others := toldTokens{}, toldTokens{}
		together.fsm.cfg.Tokens, single.fsm.cfg.Tokens = tokens, others
		refused := 0
		for batch := range 30 {
			reqs := firstUsers()
			if batch > 0 {
				reqs = nil
				for i := range 20 {
					reqs = append(reqs, anyRequest(rng, uint64(batch*1000+i), together.fsm.AuthRevision()))
				}
			}
			entries := together.propose(reqs...)
			together.must(together.fsm.Apply(entries, together))
			single.log = append(single.log, entries...)
			for i := range entries {
				single.must(single.fsm.Apply(entries[i:i+1], single))
			}
			for _, req := range reqs {
				id := req.GetHeader().GetID()
				a, b := together.results[id], single.results[id]
				if fmt.Sprint(a.Err) != fmt.Sprint(b.Err) || a.Revision != b.Revision {
					t.Fatalf("seed %d: %v: %v at %d in a group, %v at %d alone", seed, req, a.Err, a.Revision, b.Err, b.Revision)
				}
				if auth.Refused(a.Err) {
					refused++
				}
			}
		}
		if !maps.Equal(together.state(), single.state()) || !maps.Equal(tokens, others) {
			t.Fatalf("seed %d: the states differ", seed)
		}
		if refused == 0 || len(tokens) == 0 {
			t.Fatalf("seed %d: %d refused, %d tokens: nothing is tested", seed, refused, len(tokens))
		}
		before := together.state()
		together.crash()
		together.must(together.fsm.Apply(together.log, together))
		if !maps.Equal(together.state(), before) {
			t.Fatalf("seed %d: the state after a crash differs", seed)
		}
	}
}

// TestExportHoldsTheRules: what is exported is what is stored.
func TestExportHoldsTheRules(t *testing.T) {
	r := newRig(t)
	r.apply(firstUsers()...)
	x := r.fsm.Export()
	defer x.Close()
	if !x.AuthEnabled || x.AuthRevision != 13 || len(x.Users) != 3 || len(x.Roles) != 3 {
		t.Fatalf("exported: enabled %v, revision %d, users %v, roles %v", x.AuthEnabled, x.AuthRevision, x.Users, x.Roles)
	}
	state := r.state()
	for _, u := range x.Users {
		stored := new(authpb.User)
		r.must(proto.Unmarshal([]byte(state[string(authKey(authUser, string(u.Name)))]), stored))
		if !proto.Equal(stored, u) || !slices.Equal(u.Roles, []string{string(u.Name)}) || string(u.Password) != "hash" {
			t.Errorf("exported %v, stored %v", u, stored)
		}
	}
	for _, role := range x.Roles {
		stored := new(authpb.Role)
		r.must(proto.Unmarshal([]byte(state[string(authKey(authRole, string(role.Name)))]), stored))
		if !proto.Equal(stored, role) || len(role.KeyPermission) != 1 {
			t.Errorf("exported %v, stored %v", role, stored)
		}
	}
	if state[string(metaKey(metaAuthEnabled))] != "\x01" {
		t.Error("it is not stored that access is controlled")
	}
}

// TestCheckFindsDifferentRules: a record that is not what is in use is found.
func TestCheckFindsDifferentRules(t *testing.T) {
	r := newRig(t)
	r.apply(firstUsers()...)
	for name, spoil := range map[string]func() ([]byte, []byte){
		"a user that nobody added": func() ([]byte, []byte) {
			return authKey(authUser, "x"), mustMarshal(t, &authpb.User{Name: []byte("x")})
		},
		"a role with another right": func() ([]byte, []byte) {
			return authKey(authRole, "a"), mustMarshal(t, &authpb.Role{Name: []byte("a")})
		},
		"another's record": func() ([]byte, []byte) {
			return authKey(authUser, "a"), mustMarshal(t, &authpb.User{Name: []byte("b")})
		},
		"neither user nor role":  func() ([]byte, []byte) { return authKey("x/", "a"), nil },
		"a damaged revision":     func() ([]byte, []byte) { return metaKey(metaAuth), []byte{1} },
		"enabled in another way": func() ([]byte, []byte) { return metaKey(metaAuthEnabled), []byte{2} },
	} {
		key, value := spoil()
		before, existed := r.state()[string(key)]
		b := r.engine.NewBatch()
		r.must(set(b, key, value))
		r.must(r.engine.Commit(b))
		if r.fsm.checkRules() == nil {
			t.Errorf("%s is not found", name)
		}
		b = r.engine.NewBatch()
		if existed {
			r.must(set(b, key, []byte(before)))
		} else {
			r.must(b.Delete(key, nil))
		}
		r.must(r.engine.Commit(b))
	}
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
