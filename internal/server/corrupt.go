package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/mvcc"
	"bowline/internal/peers"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

// Members compare hashes of their key spaces, since one that has silently diverged
// serves wrong data. The leader does it: from time to time with the hash of now, and
// after compactions with the hashes that those have left behind. Both are etcd's, so
// that members of either kind can be compared. Who differs gets a CORRUPT alarm.

// peerHash is what a member answered.
type peerHash struct {
	id   uint64
	hash peers.HashKV
	err  error
}

// compareHashes does the periodic comparisons until ctx ends.
func (s *Server) compareHashes(ctx context.Context) {
	if s.cfg.CorruptCheck > 0 {
		s.cfg.Logger.Info("enabled corruption checking", memberField("local-member-id", s.cfg.MemberID), zap.Duration("interval", s.cfg.CorruptCheck))
	}
	now, stopNow := every(s.cfg.CorruptCheck)
	defer stopNow()
	compacted, stopCompacted := every(s.cfg.CompactHashCheck)
	defer stopCompacted()
	for {
		var check func(context.Context) error
		select {
		case <-ctx.Done():
			return
		case <-now:
			check = s.CompareNow
		case <-compacted:
			check = s.compareCompactions
		}
		if s.node.Status().State != raft.StateLeader || len(s.fsm.Members().Members()) < 2 {
			continue
		}
		if err := check(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("failed to compare the members' hashes", zap.Error(err))
		}
	}
}

// every is a ticker that never ticks if the interval is 0.
func every(interval time.Duration) (<-chan time.Time, func()) {
	if interval <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(interval)
	return t.C, t.Stop
}

// peerHashes asks all other members for their hash at a revision.
func (s *Server) peerHashes(ctx context.Context, revision int64) []peerHash {
	return askOthers(ctx, s, func(ctx context.Context, m cluster.Member) peerHash {
		h, err := s.cfg.Peers.HashKV(ctx, m.PeerURLs, revision)
		return peerHash{m.ID, h, err}
	})
}

// askOthers asks all other members at once, for as long as a request takes at most.
func askOthers[T any](ctx context.Context, s *Server, ask func(context.Context, cluster.Member) T) []T {
	var asked []cluster.Member
	for _, m := range s.fsm.Members().Members() {
		if m.ID != s.cfg.MemberID {
			asked = append(asked, m)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout())
	defer cancel()
	answers := make(chan T, len(asked))
	for _, m := range asked {
		go func() { answers <- ask(ctx, m) }()
	}
	out := make([]T, len(asked))
	for i := range out {
		out[i] = <-answers
	}
	return out
}

// CompareNow compares this member's hashes of now with the others', and raises an alarm
// for who differs. A member that cannot be asked, or is behind, is passed over. A store
// without keys is not compared: see mvcc.Store.Comparable.
func (s *Server) CompareNow(ctx context.Context) error {
	if err := s.compareTrees(ctx); err != nil {
		return err
	}
	before, _, err := s.store.HashKV(ctx, 0)
	if err != nil {
		return err
	}
	comparable, err := s.store.Comparable(ctx, before.Revision)
	if err != nil || !comparable {
		return err
	}
	answers := s.peerHashes(ctx, before.Revision)
	if err := s.readIndex(ctx); err != nil {
		return err
	}
	after, current, err := s.store.HashKV(ctx, before.Revision)
	if err != nil && !errors.Is(err, mvcc.ErrCompacted) {
		return err
	}
	if err == nil && after.Sum != before.Sum && after.Compacted == before.Compacted {
		return s.raiseCorrupt(ctx, s.cfg.MemberID, fmt.Sprintf("its own hash of revision %d was %d, and then %d", before.Revision, before.Sum, after.Sum))
	}
	for _, a := range answers {
		if err := s.judge(ctx, before, current, a); err != nil {
			return err
		}
	}
	return nil
}

// judge raises an alarm if a member's answer cannot be right.
func (s *Server) judge(ctx context.Context, own mvcc.Hash, current int64, a peerHash) error {
	why := ""
	switch {
	case a.err != nil:
		s.cfg.Logger.Debug("a member's hash is not known", memberField("remote-peer-id", a.id), zap.Error(a.err))
	case a.hash.Header.Revision > current:
		why = fmt.Sprintf("it is at revision %d, the leader at %d", a.hash.Header.Revision, current)
	case a.hash.CompactRevision == own.Compacted && a.hash.Hash != own.Sum:
		why = fmt.Sprintf("at revision %d its hash is %d, the leader's %d", own.Revision, a.hash.Hash, own.Sum)
	}
	if why == "" {
		return nil
	}
	return s.raiseCorrupt(ctx, a.id, why)
}

// compareCompactions compares the newest hash of a compaction that all members have.
func (s *Server) compareCompactions(ctx context.Context) error {
	for _, own := range s.store.CompactionHashes() {
		if own.Revision <= s.comparedTo.Load() {
			return nil
		}
		answers := s.peerHashes(ctx, own.Revision)
		comparable := slices.DeleteFunc(slices.Clone(answers), func(a peerHash) bool {
			return a.err != nil || a.hash.CompactRevision != own.Compacted
		})
		if guilty, differ := outvoted(s.cfg.MemberID, own.Sum, comparable); differ {
			return s.raiseAll(ctx, guilty, fmt.Sprintf("the hashes of the compaction at revision %d differ", own.Revision))
		}
		if len(comparable) == len(answers) {
			s.comparedTo.Store(own.Revision)
			s.cfg.Logger.Info("finished compaction hash check", zap.Int64("revision", own.Revision), zap.Int("number-of-peers-checked", len(answers)))
			return nil
		}
	}
	return nil
}

// outvoted tells whether hashes differ, and who is in the minority; nobody, 0, if no
// hash has a majority.
func outvoted(self uint64, own uint32, others []peerHash) (guilty []uint64, differ bool) {
	by := map[uint32][]uint64{own: {self}}
	for _, a := range others {
		by[a.hash.Hash] = append(by[a.hash.Hash], a.id)
	}
	if len(by) == 1 {
		return nil, false
	}
	for _, ids := range by {
		if len(ids) > (len(others)+1)/2 {
			continue
		}
		guilty = append(guilty, ids...)
	}
	if len(guilty) == len(others)+1 {
		return []uint64{0}, true
	}
	slices.SortFunc(guilty, cmp.Compare[uint64])
	return guilty, true
}

func (s *Server) raiseAll(ctx context.Context, ids []uint64, why string) error {
	for _, id := range ids {
		if err := s.raiseCorrupt(ctx, id, why); err != nil {
			return err
		}
	}
	return nil
}

// raiseCorrupt raises the alarm that a member's data are not the others'. 0 means that
// nobody knows whose.
func (s *Server) raiseCorrupt(ctx context.Context, id uint64, why string) error {
	for _, a := range s.fsm.Alarms() {
		if a.MemberID == id && a.Alarm == pb.AlarmType_CORRUPT {
			return nil
		}
	}
	s.cfg.Logger.Error("data of a member differ from the cluster's: raising the CORRUPT alarm; stop and replace that member, then disarm it",
		memberField("corrupt-member-id", id), zap.String("reason", why))
	_, err := s.propose(ctx, message(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{
		MemberID: id, Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_CORRUPT,
	}}))
	return err
}

// CompareAtStart compares this member's hash with the others' before it takes part
// again, and refuses if one that answers has another. It needs no agreement.
func (s *Server) CompareAtStart(ctx context.Context) error {
	s.cfg.Logger.Info("starting initial corruption check", memberField("local-member-id", s.cfg.MemberID),
		zap.Duration("timeout", s.cfg.RequestTimeout()))
	if err := s.compareTreesAtStart(ctx); err != nil {
		return err
	}
	own, _, err := s.store.HashKV(ctx, 0)
	if err != nil {
		return err
	}
	comparable, err := s.store.Comparable(ctx, own.Revision)
	if err != nil {
		return err
	}
	var answers []peerHash
	if comparable { // else there is nothing to differ in
		answers = s.peerHashes(ctx, own.Revision)
	}
	for _, a := range answers {
		switch {
		case a.err != nil:
			s.cfg.Logger.Warn("failed hash kv request", memberField("local-member-id", s.cfg.MemberID), zap.Int64("requested-revision", own.Revision),
				memberField("remote-peer-id", a.id), zap.Error(a.err))
		case a.hash.CompactRevision == own.Compacted && a.hash.Hash != own.Sum:
			s.cfg.Logger.Error("found different hash values from remote peer", memberField("remote-peer-id", a.id),
				zap.Int64("revision", own.Revision), zap.Uint32("local-hash", own.Sum), zap.Uint32("remote-hash", a.hash.Hash))
			return fmt.Errorf("%x found data inconsistency with peers", s.cfg.MemberID)
		}
	}
	s.cfg.Logger.Info("initial corruption checking passed; no corruption", memberField("local-member-id", s.cfg.MemberID))
	return nil
}
