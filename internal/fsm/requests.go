package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"bowline/internal/auth"
	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/v2"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Refusals that come from here. Their texts reach clients.
var (
	ErrCorrupt       = errors.New("etcdserver: corrupt cluster")
	ErrNoSpace       = errors.New("etcdserver: mvcc: database space exceeded")
	ErrUnknownAction = errors.New("etcdserver: unknown alarm action")
	// ErrUnsupported refuses a request whose feature this version does not
	// build yet; it is proposed by nobody, but may stand in a log.
	ErrUnsupported = errors.New("etcdserver: request is not supported by this version")
)

// applyRequest applies one request. A refusal is in the result; an error means
// that this member cannot go on.
func (f *FSM) applyRequest(g *group, req *pb.InternalRaftRequest, index uint64) (Result, error) {
	if err := f.refusedByAlarm(req); err != nil {
		return Result{Err: err}, nil
	}
	err := f.refusedByRules(req)
	if auth.Refused(err) {
		return Result{Err: err}, nil
	}
	if err != nil {
		return Result{}, err
	}
	var body []byte
	switch {
	case f.old != nil:
		return f.applyV2(g, index)
	case req.Put != nil:
		body, err = g.kv.Put(req.Put)
	case req.DeleteRange != nil:
		body, err = g.kv.DeleteRange(req.DeleteRange)
	case req.Txn != nil:
		body, err = g.kv.Txn(req.Txn)
	case req.Range != nil:
	case req.Compaction != nil:
		return f.applyCompaction(g, req.Compaction)
	case req.LeaseGrant != nil:
		body, err = f.applyLeaseGrant(g, req.LeaseGrant)
	case req.LeaseRevoke != nil:
		err = f.applyLeaseRevoke(g, req.LeaseRevoke)
	case req.LeaseCheckpoint != nil:
		err = f.applyLeaseCheckpoint(g, req.LeaseCheckpoint)
	case req.Alarm != nil:
		body, err = f.applyAlarm(g, req.Alarm)
	case auth.Applies(req):
		body, err = f.applyAuth(g, req, index)
	case req.ClusterVersionSet != nil:
		err = f.applyClusterVersion(g, req.ClusterVersionSet.Ver)
	case req.ClusterMemberAttrSet != nil:
		err = f.applyMemberAttributes(g, req.ClusterMemberAttrSet)
	case req.DowngradeInfoSet != nil:
		err = f.applyDowngrade(g, req.DowngradeInfoSet)
	default:
		err = ErrUnsupported
	}
	if err != nil && !refusal(err) {
		return Result{}, err
	}
	return Result{Body: body, Err: err}, nil
}

// refusal tells a refusal, which is the same on every member, from a fault of
// this member, after which it must not go on.
func refusal(err error) bool {
	for _, r := range []error{
		mvcc.ErrCompacted, mvcc.ErrFutureRevision, mvcc.ErrKeyNotFound, mvcc.ErrLeaseNotFound,
		lease.ErrExists, lease.ErrNotFound, lease.ErrTTLTooLarge,
		ErrCorrupt, ErrNoSpace, ErrUnknownAction, ErrUnsupported,
	} {
		if errors.Is(err, r) {
			return true
		}
	}
	return auth.Refused(err)
}

// refusedByAlarm tells what the raised alarms forbid.
func (f *FSM) refusedByAlarm(req *pb.InternalRaftRequest) error {
	if len(f.Alarms()) == 0 {
		return nil
	}
	writes := req.Put != nil || req.Txn != nil || req.LeaseGrant != nil
	if f.AlarmRaised(pb.AlarmType_CORRUPT) && (writes || req.Range != nil || req.DeleteRange != nil ||
		req.Compaction != nil || req.LeaseRevoke != nil) {
		return ErrCorrupt
	}
	if f.AlarmRaised(pb.AlarmType_NOSPACE) && (req.Put != nil || req.LeaseGrant != nil || req.Txn != nil && mvcc.HasPut(req.Txn)) {
		return ErrNoSpace
	}
	return nil
}

func (f *FSM) applyCompaction(g *group, req *pb.CompactionRequest) (Result, error) {
	var r Result
	err := f.store.ScheduleCompaction(g.kv.Batch(), req.Revision)
	if err != nil && !refusal(err) {
		return r, err
	}
	r.Err = err
	if err == nil {
		// gofail: var compactBeforeCommitScheduledCompact struct{}
		g.after = append(g.after, func() {
			// gofail: var compactAfterCommitScheduledCompact struct{}
			f.store.PublishCompaction()
			f.kickCompactor()
		})
	}
	if req.Physical {
		// Even a refused one waits for the removal that is under way.
		w := physicalWaiter{rev: req.Revision, done: make(chan struct{})}
		r.Done = w.done
		g.after = append(g.after, func() {
			w.rev = min(w.rev, f.store.Compacted())
			if w.rev <= f.store.CompactionFinished() {
				close(w.done)
				return
			}
			f.physical = append(f.physical, w)
		})
	}
	return r, nil
}

// Tags of LeaseGrantResponse and AlarmResponse behind the header.
const (
	tagLeaseID  = 2 << 3
	tagLeaseTTL = 3 << 3
	tagAlarm    = 2<<3 | 2
)

func (f *FSM) applyLeaseGrant(g *group, req *pb.LeaseGrantRequest) ([]byte, error) {
	l, err := f.leases.Grant(req.ID, req.TTL)
	if err != nil {
		return nil, err
	}
	f.stats.LeasesGranted.Add(1)
	f.stats.LeaseTTLs.Add(l.TTL)
	g.after = append(g.after, func() { f.cfg.LeaseGranted(l.ID, l.TTL) })
	body := wire.AppendInt(nil, tagLeaseID, l.ID)
	return wire.AppendInt(body, tagLeaseTTL, l.TTL), set(g.kv.Batch(), leaseKey(l.ID), l.Append(nil))
}

func (f *FSM) applyLeaseRevoke(g *group, req *pb.LeaseRevokeRequest) error {
	if _, ok := f.leases.Get(req.ID); !ok {
		return lease.ErrNotFound
	}
	if err := g.kv.RevokeLease(req.ID); err != nil {
		return err
	}
	if err := f.leases.Revoke(req.ID); err != nil {
		return err
	}
	f.stats.LeasesRevoked.Add(1)
	g.after = append(g.after, func() { f.cfg.LeaseRevoked(req.ID) })
	return g.kv.Batch().Delete(leaseKey(req.ID), nil)
}

func (f *FSM) applyLeaseCheckpoint(g *group, req *pb.LeaseCheckpointRequest) error {
	for _, c := range req.Checkpoints {
		l, ok := f.leases.SetRemaining(c.ID, c.Remaining_TTL)
		if !ok {
			continue
		}
		if err := set(g.kv.Batch(), leaseKey(l.ID), l.Append(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (f *FSM) applyAlarm(g *group, req *pb.AlarmRequest) ([]byte, error) {
	alarms := f.Alarms()
	var answer []*pb.AlarmMember
	switch req.Action {
	case pb.AlarmRequest_GET:
		for _, a := range alarms {
			if req.Alarm == pb.AlarmType_NONE || a.Alarm == req.Alarm {
				answer = append(answer, a)
			}
		}
	case pb.AlarmRequest_ACTIVATE:
		if req.Alarm == pb.AlarmType_NONE {
			break
		}
		a := &pb.AlarmMember{MemberID: req.MemberID, Alarm: req.Alarm}
		answer = append(answer, a)
		if findAlarm(alarms, a) >= 0 {
			break
		}
		if err := set(g.kv.Batch(), alarmKey(a), nil); err != nil {
			return nil, err
		}
		next := append(slices.Clone(alarms), a)
		f.alarms.Store(&next)
		f.cfg.Logger.Warn("alarm raised", zap.String("alarm", a.Alarm.String()), memberField(a.MemberID))
	case pb.AlarmRequest_DEACTIVATE:
		i := findAlarm(alarms, &pb.AlarmMember{MemberID: req.MemberID, Alarm: req.Alarm})
		if i < 0 {
			break
		}
		answer = append(answer, alarms[i])
		if err := g.kv.Batch().Delete(alarmKey(alarms[i]), nil); err != nil {
			return nil, err
		}
		next := slices.Delete(slices.Clone(alarms), i, i+1)
		f.alarms.Store(&next)
		f.cfg.Logger.Info("alarm disarmed", zap.String("alarm", req.Alarm.String()), memberField(req.MemberID))
	default:
		return nil, ErrUnknownAction
	}
	var body []byte
	for _, a := range answer {
		msg, err := proto.Marshal(a)
		if err != nil {
			return nil, err
		}
		body = wire.AppendMessage(body, tagAlarm, msg)
	}
	return body, nil
}

func memberField(id uint64) zap.Field { return zap.String("member-id", fmt.Sprintf("%x", id)) }

func findAlarm(alarms []*pb.AlarmMember, want *pb.AlarmMember) int {
	return slices.IndexFunc(alarms, func(a *pb.AlarmMember) bool {
		return a.MemberID == want.MemberID && a.Alarm == want.Alarm
	})
}

func (f *FSM) applyClusterVersion(g *group, version string) error {
	before := f.ClusterVersion()
	f.version.Store(&version)
	g.after = append(g.after, func() { f.tellVersion(before, version) })
	if err := f.countV2(g, v2.SetsOK); err != nil {
		return err
	}
	return set(g.kv.Batch(), metaKey(metaClusterVersion), []byte(version))
}

func (f *FSM) applyMemberAttributes(g *group, req *membershippb.ClusterMemberAttrSetRequest) error {
	next, ok := f.Members().Publish(req.Member_ID, req.GetMemberAttributes().GetName(), req.GetMemberAttributes().GetClientUrls())
	if !ok {
		return nil // removed meanwhile
	}
	next.Member(req.Member_ID).Ours = wire.MarkedOurs(req.GetMemberAttributes())
	f.members.Store(next)
	if err := f.countV2(g, v2.SetsOK); err != nil {
		return err
	}
	return putMember(g.kv.Batch(), next.Member(req.Member_ID))
}

func putMember(b *engine.Batch, m *cluster.Member) error {
	record, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("fsm: encode member %x: %w", m.ID, err)
	}
	return set(b, memberKey(memberPresent, m.ID), record)
}

// applyConfChange checks a configuration change against the members and tells raft
// what became of it.
func (f *FSM) applyConfChange(g *group, e *raftpb.Entry) error {
	cc := new(raftpb.ConfChange)
	if e.GetType() != raftpb.EntryType_EntryConfChange {
		return fmt.Errorf("fsm: entry %d has unknown type %v", e.GetIndex(), e.GetType())
	}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return fmt.Errorf("fsm: entry %d is a damaged conf change: %w", e.GetIndex(), err)
	}
	r := Result{Revision: g.kv.Revision()}
	next, err := f.Members().Apply(cc, f.cfg.MaxLearners)
	if err != nil {
		r.Err = err
		g.conf.RefuseConfChange(e.GetIndex())
	} else {
		if err := f.storeMembers(g, cc, next); err != nil {
			return err
		}
		g.conf.ApplyConfChange(e.GetIndex(), cc)
	}
	if cc.GetId() != 0 {
		g.results = append(g.results, delivery{id: cc.GetId(), result: r})
	}
	return nil
}

func (f *FSM) storeMembers(g *group, cc *raftpb.ConfChange, next *cluster.View) error {
	b := g.kv.Batch()
	before := f.Members().Member(cc.GetNodeId())
	f.members.Store(next)
	if f.cfg.MembersChanged != nil {
		g.after = append(g.after, func() { f.cfg.MembersChanged(next) })
	}
	m := next.Member(cc.GetNodeId())
	g.after = append(g.after, func() { f.tellMember(before, m) })
	if err := f.countV2(g, memberCounts(before, m)...); err != nil {
		return err
	}
	if m != nil {
		return putMember(b, m)
	}
	if err := b.Delete(memberKey(memberPresent, cc.GetNodeId()), nil); err != nil {
		return err
	}
	return set(b, memberKey(memberRemoved, cc.GetNodeId()), nil)
}

// Bootstrap writes the first state of a new member: the members of its cluster,
// as if the conf changes of the log's first entries had been applied. It flushes
// the engine, since only then may the log be created.
func Bootstrap(e *engine.Engine, members []cluster.Member, last Position) error {
	b := e.NewBatch()
	for i := range members {
		if err := putMember(b, &members[i]); err != nil {
			return err
		}
	}
	if err := v2.Bootstrap(b, len(members)); err != nil {
		return err
	}
	if err := set(b, metaKey(metaApplied), last.encode()); err != nil {
		return err
	}
	if err := e.Commit(b); err != nil {
		return err
	}
	return e.Flush()
}
