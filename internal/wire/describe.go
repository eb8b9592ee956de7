package wire

import (
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Describe prints a request for the log, in a form like protobuf's own text. What
// may be secret is left out: of values only their size is told, of users only the
// name.
func Describe(m proto.Message) string {
	var b strings.Builder
	switch r := m.(type) {
	case *pb.InternalRaftRequest:
		describeProposal(&b, r)
	case *pb.PutRequest:
		describePut(&b, r)
	case *pb.TxnRequest:
		describeTxn(&b, r)
	case *pb.AuthUserAddRequest:
		fmt.Fprintf(&b, "name:%s", r.Name)
	case *pb.AuthUserChangePasswordRequest:
		fmt.Fprintf(&b, "name:%s", r.Name)
	case *pb.AuthenticateRequest:
		fmt.Fprintf(&b, "name:%s", r.Name)
	default:
		fmt.Fprint(&b, m)
	}
	return cut(b.String())
}

// maxDescription bounds what a line of the log tells of one request: a large
// transaction would otherwise fill the log with each slow moment.
const maxDescription = 1 << 10

func cut(s string) string {
	if len(s) <= maxDescription {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes)", s[:maxDescription], len(s))
}

func describeProposal(b *strings.Builder, r *pb.InternalRaftRequest) {
	id := r.GetHeader().GetID()
	if id == 0 {
		id = r.ID
	}
	fmt.Fprintf(b, "header:<ID:%d>", id)
	part := func(name string, m proto.Message) { fmt.Fprintf(b, " %s:<%s>", name, Describe(m)) }
	switch {
	case r.Put != nil:
		part("put", r.Put)
	case r.Txn != nil:
		part("txn", r.Txn)
	case r.LeaseGrant != nil:
		fmt.Fprintf(b, " lease_grant:<ttl:%d-second id:%016x>", r.LeaseGrant.TTL, r.LeaseGrant.ID)
	case r.LeaseRevoke != nil:
		fmt.Fprintf(b, " lease_revoke:<id:%016x>", r.LeaseRevoke.ID)
	case r.LeaseCheckpoint != nil:
		for _, c := range r.LeaseCheckpoint.Checkpoints {
			fmt.Fprintf(b, " lease_checkpoint:<id:%016x remaining_ttl:%d>", c.ID, c.Remaining_TTL)
		}
	case r.AuthUserAdd != nil:
		part("auth_user_add", r.AuthUserAdd)
	case r.AuthUserChangePassword != nil:
		part("auth_user_change_password", r.AuthUserChangePassword)
	case r.Authenticate != nil:
		fmt.Fprintf(b, " authenticate:<name:%s>", r.Authenticate.Name)
	default:
		rest := proto.Clone(r).(*pb.InternalRaftRequest)
		rest.Header, rest.ID = nil, 0
		fmt.Fprintf(b, " %v", rest)
	}
}

func describePut(b *strings.Builder, r *pb.PutRequest) {
	fmt.Fprintf(b, "key:%q value_size:%d", r.Key, len(r.Value))
	if r.Lease != 0 {
		fmt.Fprintf(b, " lease:%d", r.Lease)
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"prev_kv", r.PrevKv}, {"ignore_value", r.IgnoreValue}, {"ignore_lease", r.IgnoreLease}} {
		if flag.set {
			fmt.Fprintf(b, " %s:true", flag.name)
		}
	}
}

func describeTxn(b *strings.Builder, r *pb.TxnRequest) {
	b.WriteString("compare:<")
	for i, c := range r.Compare {
		if i > 0 {
			b.WriteByte(' ')
		}
		describeCompare(b, c)
	}
	b.WriteString("> success:<")
	describeOps(b, r.Success)
	b.WriteString("> failure:<")
	describeOps(b, r.Failure)
	b.WriteByte('>')
}

func describeCompare(b *strings.Builder, c *pb.Compare) {
	if v, ok := c.GetTargetUnion().(*pb.Compare_Value); ok {
		fmt.Fprintf(b, "result:%v target:%v key:%q value_size:%d", c.Result, c.Target, c.Key, len(v.Value))
		if len(c.RangeEnd) > 0 {
			fmt.Fprintf(b, " range_end:%q", c.RangeEnd)
		}
		return
	}
	fmt.Fprint(b, c)
}

func describeOps(b *strings.Builder, ops []*pb.RequestOp) {
	for i, op := range ops {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case op.GetRequestPut() != nil:
			fmt.Fprintf(b, "request_put:<%s>", Describe(op.GetRequestPut()))
		case op.GetRequestTxn() != nil:
			fmt.Fprintf(b, "request_txn:<%s>", Describe(op.GetRequestTxn()))
		default:
			fmt.Fprint(b, op)
		}
	}
}
