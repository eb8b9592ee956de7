package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/prototext"
)

// told are the lines of the log since it was last asked, with the fields that do not
// differ from run to run; of the others only the names.
func (r *rig) told() []string {
	varies := []string{"took", "current-db-size", "current-db-size-bytes", "current-db-size-in-use", "current-db-size-in-use-bytes"}
	var out []string
	for _, l := range r.lines.TakeAll() {
		line := l.Message
		for _, f := range l.Context {
			if slices.Contains(varies, f.Key) {
				line += " " + f.Key
			} else {
				line += fmt.Sprintf(" %s=%v", f.Key, l.ContextMap()[f.Key])
			}
		}
		out = append(out, line)
	}
	return out
}

func TestWhatIsToldOfRequests(t *testing.T) {
	r := newRig(t)
	for _, x := range []struct{ request, want string }{
		{`cluster_version_set:{ver:"3.6.0"}`, `set initial cluster version cluster-id=c local-member-id=a cluster-version=3.6
enabled capabilities for version cluster-version=3.6`},
		{`cluster_version_set:{ver:"3.7.0"}`, `updated cluster version cluster-id=c local-member-id=a from=3.6 to=3.7
enabled capabilities for version cluster-version=3.7`},
		{`cluster_version_set:{ver:"3.7.0"}`, `updated cluster version cluster-id=c local-member-id=a from=3.7 to=3.7`},
		{`auth_user_add:{name:"root" hashedPassword:"eA=="}`, `added a user user-name=root by= auth-revision=2`},
		{`auth_user_grant_role:{user:"root" role:"root"}`, `granted a role to a user user-name=root user-roles=[root] added-role-name=root by= auth-revision=3`},
		{`auth_role_add:{name:"r"}`, `created a role role-name=r by= auth-revision=4`},
		{`auth_role_grant_permission:{name:"r" perm:{permType:READWRITE key:"a" range_end:"b"}}`,
			`granted/updated a permission to a user user-name=r permission-name=READWRITE key=a range-end=b by= auth-revision=5`},
		{`auth_user_change_password:{name:"root" hashedPassword:"eQ=="}`, `changed a password of a user user-name=root user-roles=[root] by= auth-revision=6`},
		{`auth_role_revoke_permission:{role:"r" key:"a" range_end:"b"}`, `revoked a permission on range role-name=r key=a range-end=b by= auth-revision=7`},
		{`auth_enable:{}`, `enabled authentication by= auth-revision=7`},
		{`header:{username:"root" auth_revision:7} auth_disable:{}`, `disabled authentication by=root auth-revision=8`},
		{`auth_role_delete:{role:"r"}`, `deleted a role role-name=r by= auth-revision=9`},
		{`auth_user_revoke_role:{name:"root" role:"root"}`,
			`revoked a role from a user user-name=root old-user-roles=[root] new-user-roles=[] revoked-role-name=root by= auth-revision=10`},
		{`auth_user_delete:{name:"root"}`, `deleted a user user-name=root user-roles=[] by= auth-revision=11`},
		{`auth_user_delete:{name:"root"}`, ``}, // refused
	} {
		req := new(pb.InternalRaftRequest)
		r.must(prototext.Unmarshal([]byte(x.request), req))
		r.apply(req)
		if got := strings.Join(r.told(), "\n"); got != x.want {
			t.Errorf("%s\ngot  %s\nwant %s", x.request, got, x.want)
		}
	}
}

func TestWhatIsToldOfMembers(t *testing.T) {
	r := newRig(t)
	for _, x := range []struct{ change, want string }{
		{`type:ConfChangeAddNode node_id:161 context:"{\"id\":161,\"peerURLs\":[\"http://a\"]}"`,
			`added member cluster-id=c local-member-id=a added-peer-id=a1 added-peer-peer-urls=[http://a] added-peer-is-learner=false`},
		{`type:ConfChangeAddLearnerNode node_id:162 context:"{\"id\":162,\"peerURLs\":[\"http://b\"],\"isLearner\":true}"`,
			`added member cluster-id=c local-member-id=a added-peer-id=a2 added-peer-peer-urls=[http://b] added-peer-is-learner=true`},
		{`type:ConfChangeUpdateNode node_id:162 context:"{\"id\":162,\"peerURLs\":[\"http://c\"]}"`,
			`updated member cluster-id=c local-member-id=a updated-remote-peer-id=a2 updated-remote-peer-urls=[http://c] updated-remote-peer-is-learner=true`},
		{`type:ConfChangeAddNode node_id:162 context:"{\"id\":162,\"isPromote\":true}"`,
			`promote member cluster-id=c local-member-id=a promoted-member-id=a2`},
		{`type:ConfChangeRemoveNode node_id:162`,
			`removed member cluster-id=c local-member-id=a removed-remote-peer-id=a2 removed-remote-peer-urls=[http://c] removed-remote-peer-is-learner=false`},
		{`type:ConfChangeRemoveNode node_id:162`, ``}, // refused
	} {
		cc := new(raftpb.ConfChange)
		r.must(prototext.Unmarshal([]byte(x.change), cc))
		r.must(r.fsm.Apply(r.proposeConfChange(cc), r))
		if got := strings.Join(r.told(), "\n"); got != x.want {
			t.Errorf("%s\ngot  %s\nwant %s", x.change, got, x.want)
		}
	}
}

func TestWhatIsToldOfACompaction(t *testing.T) {
	r := newRig(t)
	r.start()
	for range 3 {
		r.apply(put("k", "v"))
	}
	r.told()
	e := r.propose(compact(3, true))
	r.must(r.fsm.Apply(e, r))
	<-r.results[e[0].GetIndex()].Done
	got := r.told()
	want := []string{"compact tree index revision=3", "storing new hash", "finished scheduled compaction compact-revision=3 took" +
		" number-of-keys-compacted=1 hash"}
	const sizes = " current-db-size-bytes current-db-size current-db-size-in-use-bytes current-db-size-in-use"
	same := slices.EqualFunc(got, want, strings.HasPrefix)
	if !same || !strings.HasSuffix(got[2], sizes) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
