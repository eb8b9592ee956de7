package member

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// foundGuarded starts a cluster in which access is controlled, with root and a user u,
// who may do anything to [k, l).
func foundGuarded(t *testing.T, names ...string) *group {
	t.Helper()
	g := &group{t: t, configs: make(map[string]Config), members: make(map[string]*Member)}
	initial := make(map[string][]string)
	for _, name := range names {
		cfg := g.config(name)
		cfg.AuthToken, cfg.BcryptCost = "simple", 4
		g.configs[name] = cfg
		initial[name] = cfg.AdvertisePeerURLs
	}
	for name, cfg := range g.configs {
		cfg.InitialCluster = initial
		g.configs[name] = cfg
	}
	g.start(names...)
	t.Cleanup(g.stopAll)
	auth, ctx := pb.NewAuthClient(dial(t, g.members[names[0]])), t.Context()
	for _, user := range []string{"root", "u"} {
		_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: user, Password: user})
		must(t, err)
		_, err = auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: user})
		must(t, err)
		_, err = auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: user})
		must(t, err)
	}
	_, err := auth.RoleGrantPermission(ctx, allOfK())
	must(t, err)
	_, err = auth.AuthEnable(ctx, &pb.AuthEnableRequest{})
	must(t, err)
	return g
}

func allOfK() *pb.AuthRoleGrantPermissionRequest {
	return &pb.AuthRoleGrantPermissionRequest{Name: "u", Perm: &authpb.Permission{
		PermType: authpb.Permission_READWRITE, Key: []byte("k"), RangeEnd: []byte("l")}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// login is the context of calls by a user who has logged in at a member.
func (g *group) login(at, user string) context.Context {
	g.t.Helper()
	resp, err := pb.NewAuthClient(dial(g.t, g.members[at])).Authenticate(g.t.Context(), &pb.AuthenticateRequest{Name: user, Password: user})
	must(g.t, err)
	return metadata.AppendToOutgoingContext(g.t.Context(), "token", resp.Token)
}

// agree fails the test unless all members have the same rules, and those that they have
// stored.
func (g *group) agree() {
	g.t.Helper()
	g.eventually("all members have applied the same", func() error {
		var first *Member
		for name, m := range g.members {
			if first == nil {
				first = m
			}
			if m.fsm.Applied() != first.fsm.Applied() {
				return fmt.Errorf("%s is at %d, another at %d", name, m.fsm.Applied(), first.fsm.Applied())
			}
			if !m.fsm.Rules().Equal(first.fsm.Rules()) {
				return fmt.Errorf("%s has other users or roles", name)
			}
			if err := m.fsm.Check(g.t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestAccessIsTheSameAtEveryMember: a token, a right and its loss count at every member
// as soon as one of them has said so.
func TestAccessIsTheSameAtEveryMember(t *testing.T) {
	g := foundGuarded(t, "a", "b", "c")
	conns := map[string]pb.KVClient{}
	for name, m := range g.members {
		conns[name] = pb.NewKVClient(dial(t, m))
	}
	root := g.login("a", "root")
	auth := pb.NewAuthClient(dial(t, g.members["a"]))
	everywhere := func(when string, want codes.Code) {
		t.Helper()
		u := g.login("b", "u") // known at the others at once
		for name, kv := range conns {
			_, err := kv.Put(u, &pb.PutRequest{Key: []byte("k")})
			if status.Code(err) != want {
				t.Fatalf("%s: put at %s: %v", when, name, err)
			}
			if _, err = kv.Range(u, &pb.RangeRequest{Key: []byte("k")}); status.Code(err) != want {
				t.Fatalf("%s: read at %s: %v", when, name, err)
			}
		}
	}
	for range 10 {
		everywhere("with the right", codes.OK)
		_, err := auth.RoleRevokePermission(root, &pb.AuthRoleRevokePermissionRequest{Role: "u", Key: []byte("k"), RangeEnd: []byte("l")})
		must(t, err)
		everywhere("without it", codes.PermissionDenied)
		_, err = auth.RoleGrantPermission(root, allOfK())
		must(t, err)
	}
	g.agree()
}

// TestLeasesExpireUnderAccessControl: the cluster revokes what nobody keeps alive, and
// followers keep alive for those who may.
func TestLeasesExpireUnderAccessControl(t *testing.T) {
	g := foundGuarded(t, "a", "b", "c")
	u, root := g.login("a", "u"), g.login("a", "root")
	for name, m := range g.members {
		conn := dial(t, m)
		lease, kv := pb.NewLeaseClient(conn), pb.NewKVClient(conn)
		granted, err := lease.LeaseGrant(u, &pb.LeaseGrantRequest{TTL: 1})
		must(t, err)
		_, err = kv.Put(u, &pb.PutRequest{Key: []byte("k" + name), Lease: granted.ID})
		must(t, err)
		s, err := lease.LeaseKeepAlive(u)
		must(t, err)
		must(t, s.Send(&pb.LeaseKeepAliveRequest{ID: granted.ID}))
		if resp, err := s.Recv(); err != nil || resp.TTL <= 0 {
			t.Errorf("kept alive at %s: %v, %v", name, resp, err)
		}
		g.eventually("the lease expires", func() error {
			resp, err := kv.Range(root, &pb.RangeRequest{Key: []byte("k" + name)})
			if err == nil && len(resp.Kvs) > 0 {
				err = errors.New("the key is still there")
			}
			return err
		})
	}
	g.agree()
}

// TestAMemberThatWasAwayLearnsTheRules: what happened meanwhile counts, tokens of before
// do not come back, and new ones do come.
func TestAMemberThatWasAwayLearnsTheRules(t *testing.T) {
	g := foundGuarded(t, "a", "b", "c")
	old := g.login("a", "u")
	_, err := pb.NewKVClient(dial(t, g.members["c"])).Put(old, &pb.PutRequest{Key: []byte("k")})
	must(t, err)
	g.stop("c")
	auth, root := pb.NewAuthClient(dial(t, g.members["a"])), g.login("b", "root")
	_, err = auth.UserChangePassword(root, &pb.AuthUserChangePasswordRequest{Name: "u", Password: "u"})
	must(t, err)
	_, err = auth.UserAdd(root, &pb.AuthUserAddRequest{Name: "v", Password: "v"})
	must(t, err)
	v := g.login("a", "v")
	g.start("c")
	kv := pb.NewKVClient(dial(t, g.members["c"]))
	if _, err = kv.Range(old, &pb.RangeRequest{Key: []byte("k")}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with a token of before: %v", err)
	}
	_, err = kv.Range(g.login("a", "u"), &pb.RangeRequest{Key: []byte("k")})
	must(t, err)
	if _, err = kv.Range(v, &pb.RangeRequest{Key: []byte("k")}); status.Code(err) != codes.PermissionDenied && status.Code(err) != codes.Unauthenticated {
		t.Errorf("a new user without rights: %v", err)
	}
	g.agree()
}
