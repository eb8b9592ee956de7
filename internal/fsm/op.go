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
	OpAuthUserAdd
	OpClusterVersionSet
	OpClusterMemberAttrSet
	OpDowngradeInfoSet

	opCount
)

var opNames = [opCount]string{
	"Unknown", "Put", "DeleteRange", "Txn", "Range", "Compaction", "LeaseGrant", "LeaseRevoke", "LeaseCheckpoint",
	"Alarm", "AuthUserAdd", "ClusterVersionSet", "ClusterMemberAttrSet", "DowngradeInfoSet",
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
	case req.AuthUserAdd != nil:
		return OpAuthUserAdd
	case req.ClusterVersionSet != nil:
		return OpClusterVersionSet
	case req.ClusterMemberAttrSet != nil:
		return OpClusterMemberAttrSet
	case req.DowngradeInfoSet != nil:
		return OpDowngradeInfoSet
	}
	return OpUnknown
}
