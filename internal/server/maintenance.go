package server

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// Version is the etcd version that this member is compatible with: clients
// decide by it what they may ask for.
const Version = "3.7.1"

// StorageVersion is what the status reports as the version of stored data; it
// follows the cluster version.
func (s *Server) StorageVersion() string { return s.fsm.ClusterVersion() }

// Alarm gets, raises or lifts alarms.
func (s *Server) Alarm(ctx context.Context, req *pb.AlarmRequest) (*wire.Answer, error) {
	if _, ok := pb.AlarmRequest_AlarmAction_name[int32(req.Action)]; !ok {
		return nil, ErrBadAlarmAction
	}
	if req.Action == pb.AlarmRequest_ACTIVATE && req.Alarm == pb.AlarmType_NOSPACE && req.MemberID == s.cfg.MemberID {
		s.space.asked.Store(true)
	}
	r, err := s.propose(ctx, message(&pb.InternalRaftRequest{Alarm: req}))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// raiseNoSpace raises this member's NOSPACE alarm unless it is raised.
func (s *Server) raiseNoSpace(ctx context.Context) error {
	if s.alarmed(pb.AlarmType_NOSPACE) {
		return nil
	}
	s.space.raised.Store(s.cfg.QuotaBytes <= 0)
	s.cfg.Logger.Warn("message exceeded backend quota; raising alarm", zap.Int64("quota-size-bytes", s.cfg.QuotaBytes))
	_, err := s.propose(ctx, message(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{
		MemberID: s.cfg.MemberID, Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE,
	}}))
	return err
}

// Status describes this member.
func (s *Server) Status() *pb.StatusResponse {
	st := s.node.Status()
	size, down := s.cfg.Engine.Size(), s.fsm.Downgrade()
	resp := &pb.StatusResponse{
		Header:           s.header(s.store.Revision()),
		Version:          Version,
		DbSize:           size.Total,
		DbSizeInUse:      size.Live,
		DbSizeQuota:      s.Quota(),
		Leader:           st.Leader,
		RaftIndex:        st.Commit,
		RaftTerm:         st.Term,
		RaftAppliedIndex: s.fsm.Applied(),
		IsLearner:        s.isLearner(),
		StorageVersion:   s.StorageVersion(),
		DowngradeInfo:    &pb.DowngradeInfo{Enabled: down.Enabled, TargetVersion: down.Target},
	}
	if st.Leader == 0 {
		resp.Errors = append(resp.Errors, ErrNoLeader.Error())
	}
	for _, a := range s.fsm.Alarms() {
		resp.Errors = append(resp.Errors, fmt.Sprintf("memberID:%d alarm:%s", a.MemberID, a.Alarm))
	}
	return resp
}

func (s *Server) header(revision int64) *pb.ResponseHeader {
	h := s.Header(revision)
	return &pb.ResponseHeader{ClusterId: h.ClusterID, MemberId: h.MemberID, Revision: h.Revision, RaftTerm: h.RaftTerm}
}

// HeaderAt is the header of an answer at a revision, as a message.
func (s *Server) HeaderAt(revision int64) *pb.ResponseHeader { return s.header(revision) }

// Revision is the store's current revision.
func (s *Server) Revision() int64 { return s.store.Revision() }

// HashKV answers with etcd's hash of the key space at a revision.
func (s *Server) HashKV(ctx context.Context, rev int64) (*pb.HashKVResponse, error) {
	defer timed(s.stats.KVHashes)()
	h, current, err := s.store.HashKV(ctx, rev)
	if err != nil {
		return nil, err
	}
	return &pb.HashKVResponse{
		Header: s.header(current), Hash: h.Sum, CompactRevision: h.Compacted, HashRevision: h.Revision,
	}, nil
}

// Hash answers with a checksum over everything that this member has stored, the
// applied index left out. It compares only states of one implementation.
func (s *Server) Hash(ctx context.Context) (*pb.HashResponse, error) {
	defer timed(s.stats.Hashes)()
	state := s.cfg.Engine.NewSnapshot()
	defer state.Close()
	it, err := engine.NewScan(state, &engine.IterOptions{LowerBound: engine.ClassStart(engine.ClassRevision)})
	if err != nil {
		return nil, fmt.Errorf("server: hash: %w", err)
	}
	defer it.Close()
	table := crc32.MakeTable(crc32.Castagnoli)
	var sum uint32
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		sum = crc32.Update(sum, table, it.Key())
		sum = crc32.Update(sum, table, it.Value())
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("server: hash: %w", err)
	}
	return &pb.HashResponse{Header: s.header(s.store.Revision()), Hash: sum}, nil
}

// Defragment has the engine give back space that it can, while it goes on
// serving.
func (s *Server) Defragment(ctx context.Context) error {
	s.stats.Defragmenting.Add(1)
	defer s.stats.Defragmenting.Add(-1)
	defer timed(s.stats.Defrags)()
	s.cfg.Logger.Info("starting defragment")
	// gofail: var defragBeforeCopy struct{}
	path, before, began := zap.String("path", s.cfg.Engine.Dir()), s.cfg.Engine.Size(), time.Now()
	s.cfg.Logger.Info("defragmenting", append(before.Fields(), path)...)
	if err := s.cfg.Engine.Reclaim(ctx); err != nil {
		s.cfg.Logger.Error("failed to defragment", zap.Error(err))
		return err
	}
	// gofail: var defragBeforeRename struct{}
	after := s.cfg.Engine.Size()
	s.cfg.Logger.Info("finished defragmenting directory", append(after.Fields(), path, zap.Duration("took", time.Since(began)),
		zap.Int64("current-db-size-bytes-diff", after.Total-before.Total),
		zap.Int64("current-db-size-in-use-bytes-diff", after.Live-before.Live))...)
	s.cfg.Logger.Info("finished defragment")
	return nil
}

// isLearner tells whether this member may not vote.
func (s *Server) isLearner() bool {
	m := s.fsm.Members().Member(s.cfg.MemberID)
	return m != nil && m.IsLearner
}

// IsLearner tells whether this member may not vote.
func (s *Server) IsLearner() bool { return s.isLearner() }

// HasLeader tells whether this member knows a leader.
func (s *Server) HasLeader() bool { return s.node.Status().Leader != 0 }

// ClusterVersion is the negotiated cluster version, empty if there is none yet.
func (s *Server) ClusterVersion() string { return s.fsm.ClusterVersion() }

// FSM is the replicated state, for readers such as metrics and health checks.
func (s *Server) FSM() *fsm.FSM { return s.fsm }
