package server

import (
	"context"
	"errors"
	"time"

	"bowline/internal/config"
	"bowline/internal/mvcc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

const (
	// longestPeriod is how often there is a periodic compaction at least, whatever the
	// period, and samplesPerPeriod how often the revision is looked at in that time.
	longestPeriod    = time.Hour
	samplesPerPeriod = 10
	// revisionInterval is how often there is a compaction by revision.
	revisionInterval = 5 * time.Minute
)

// autoCompact compacts as the settings say while this member leads, until ctx ends.
// Every member keeps the schedule, so that a new leader goes on with it.
func (s *Server) autoCompact(ctx context.Context) {
	plan := newCompactionPlan(s.cfg.AutoCompaction, time.Now())
	if plan == nil {
		return
	}
	plan.due(time.Now(), s.store.Revision())
	for range ticks(ctx, plan.interval()) {
		now := time.Now()
		rev, ok := plan.due(now, s.store.Revision())
		if !ok || s.node.Status().State != raft.StateLeader {
			continue
		}
		log := s.cfg.Logger.With(append(plan.describe(), zap.Int64("revision", rev))...)
		log.Info("starting auto " + plan.kind() + " compaction")
		_, err := s.propose(ctx, message(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: rev}}))
		switch {
		case err == nil || errors.Is(err, mvcc.ErrCompacted):
			plan.done(now, rev)
			log.Info("completed auto "+plan.kind()+" compaction", zap.Duration("took", time.Since(now)))
		case ctx.Err() == nil:
			log.Warn("failed auto "+plan.kind()+" compaction; trying again", zap.Duration("retry-interval", plan.interval()), zap.Error(err))
		}
	}
}

// compactionPlan says what to compact to, and when. It is asked once an interval.
type compactionPlan interface {
	kind() string
	describe() []zap.Field
	interval() time.Duration
	// due takes note of the current revision and returns the one to compact to, if it
	// is time.
	due(now time.Time, current int64) (rev int64, ok bool)
	// done takes note of a compaction that was due at a time.
	done(at time.Time, rev int64)
}

// newCompactionPlan is nil if nothing is to be compacted.
func newCompactionPlan(c config.Compaction, now time.Time) compactionPlan {
	switch {
	case c.Period > 0:
		return &periodicPlan{period: c.Period, last: now}
	case c.Revisions > 0:
		return &revisionPlan{keep: c.Revisions}
	}
	return nil
}

// periodicPlan compacts to the revision of one period ago.
type periodicPlan struct {
	period  time.Duration
	samples []sample // oldest first; the first one is a period old, or there is none as old
	last    time.Time
	lastRev int64
}

type sample struct {
	at  time.Time
	rev int64
}

func (p *periodicPlan) kind() string { return "periodic" }

func (p *periodicPlan) describe() []zap.Field {
	return []zap.Field{zap.Duration("compact-period", p.period)}
}

func (p *periodicPlan) between() time.Duration { return min(p.period, longestPeriod) }

func (p *periodicPlan) interval() time.Duration { return p.between() / samplesPerPeriod }

func (p *periodicPlan) due(now time.Time, current int64) (int64, bool) {
	p.samples = append(p.samples, sample{now, current})
	slack := p.interval() / 2 // tickers are not exact
	old := now.Add(slack - p.period)
	for len(p.samples) > 1 && !p.samples[1].at.After(old) {
		p.samples = p.samples[1:]
	}
	oldest := p.samples[0]
	if oldest.at.After(old) || now.Sub(p.last) < p.between()-slack || oldest.rev == p.lastRev {
		return 0, false
	}
	return oldest.rev, true
}

func (p *periodicPlan) done(at time.Time, rev int64) { p.last, p.lastRev = at, rev }

// revisionPlan keeps so many revisions.
type revisionPlan struct {
	keep    int64
	lastRev int64
}

func (p *revisionPlan) kind() string { return "revision" }

func (p *revisionPlan) describe() []zap.Field {
	return []zap.Field{zap.Int64("revision-compaction-retention", p.keep)}
}

func (p *revisionPlan) interval() time.Duration { return revisionInterval }

func (p *revisionPlan) due(_ time.Time, current int64) (int64, bool) {
	rev := current - p.keep
	return rev, rev > 0 && rev != p.lastRev
}

func (p *revisionPlan) done(_ time.Time, rev int64) { p.lastRev = rev }
