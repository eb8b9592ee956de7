package fsm

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// Op is a kind of request, for metrics and warnings.
type Op uint8

// The kinds of requests that are applied. Their names are those that etcd's metrics
// have as labels.
const (
	OpUnknown Op = iota
	OpPut
	OpDeleteRange
	OpTxn
	OpRange
	OpCompaction
	OpLeaseGrant
	OpLeaseRevoke
	OpLeaseCheckpoint
	OpAlarm
	OpAuthEnable
	OpAuthDisable
	OpAuthStatus
	OpAuthenticate
	OpAuthUserAdd
	OpAuthUserDelete
	OpAuthUserChangePassword
	OpAuthUserGrantRole
	OpAuthUserGet
	OpAuthUserRevokeRole
	OpAuthRoleAdd
	OpAuthRoleGrantPermission
	OpAuthRoleGet
	OpAuthRoleRevokePermission
	OpAuthRoleDelete
	OpAuthUserList
	OpAuthRoleList
	OpClusterVersionSet
	OpClusterMemberAttrSet
	OpDowngradeInfoSet

	opCount
)

var opNames = [opCount]string{
	"Unknown", "Put", "DeleteRange", "Txn", "Range", "Compaction", "LeaseGrant", "LeaseRevoke", "LeaseCheckpoint",
	"Alarm",
	"AuthEnable", "AuthDisable", "AuthStatus", "Authenticate", "AuthUserAdd", "AuthUserDelete", "AuthUserChangePassword",
	"AuthUserGrantRole", "AuthUserGet", "AuthUserRevokeRole", "AuthRoleAdd", "AuthRoleGrantPermission", "AuthRoleGet",
	"AuthRoleRevokePermission", "AuthRoleDelete", "AuthUserList", "AuthRoleList",
	"ClusterVersionSet", "ClusterMemberAttrSet", "DowngradeInfoSet",
}

func (o Op) String() string {
	if o >= opCount {
		o = OpUnknown
	}
	return opNames[o]
}

// opOf tells what kind of request req is.
func opOf(req *pb.InternalRaftRequest) Op {
	switch {
	case req.Put != nil:
		return OpPut
	case req.Txn != nil:
		return OpTxn
	case req.DeleteRange != nil:
		return OpDeleteRange
	case req.Range != nil:
		return OpRange
	case req.Compaction != nil:
		return OpCompaction
	case req.LeaseGrant != nil:
		return OpLeaseGrant
	case req.LeaseRevoke != nil:
		return OpLeaseRevoke
	case req.LeaseCheckpoint != nil:
		return OpLeaseCheckpoint
	case req.Alarm != nil:
		return OpAlarm
	case req.ClusterVersionSet != nil:
		return OpClusterVersionSet
	case req.ClusterMemberAttrSet != nil:
		return OpClusterMemberAttrSet
	case req.DowngradeInfoSet != nil:
		return OpDowngradeInfoSet
	}
	return authOpOf(req)
}

// authOpOf tells what kind of request about users, roles and tokens req is.
func authOpOf(req *pb.InternalRaftRequest) Op {
	switch {
	case req.AuthEnable != nil:
		return OpAuthEnable
	case req.AuthDisable != nil:
		return OpAuthDisable
	case req.AuthStatus != nil:
		return OpAuthStatus
	case req.Authenticate != nil:
		return OpAuthenticate
	case req.AuthUserAdd != nil:
		return OpAuthUserAdd
	case req.AuthUserDelete != nil:
		return OpAuthUserDelete
	case req.AuthUserChangePassword != nil:
		return OpAuthUserChangePassword
	case req.AuthUserGrantRole != nil:
		return OpAuthUserGrantRole
	case req.AuthUserGet != nil:
		return OpAuthUserGet
	case req.AuthUserRevokeRole != nil:
		return OpAuthUserRevokeRole
	case req.AuthRoleAdd != nil:
		return OpAuthRoleAdd
	case req.AuthRoleGrantPermission != nil:
		return OpAuthRoleGrantPermission
	case req.AuthRoleGet != nil:
		return OpAuthRoleGet
	case req.AuthRoleRevokePermission != nil:
		return OpAuthRoleRevokePermission
	case req.AuthRoleDelete != nil:
		return OpAuthRoleDelete
	case req.AuthUserList != nil:
		return OpAuthUserList
	case req.AuthRoleList != nil:
		return OpAuthRoleList
	}
	return OpUnknown
}
