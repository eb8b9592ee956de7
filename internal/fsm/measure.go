package fsm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"bowline/internal/mvcc"
	"bowline/internal/tally"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// Stats is what an FSM has counted since it was opened. Nothing of it is written
// anywhere: the state does not depend on it.
type Stats struct {
	// SlowApplies is how many requests took longer than Config.SlowApply.
	SlowApplies atomic.Int64
	// LeasesGranted and LeasesRevoked count leases, LeaseTTLs the seconds that were
	// granted.
	LeasesGranted, LeasesRevoked atomic.Int64
	LeaseTTLs                    *tally.Histogram
	// CompactionSteps is how long the steps of compactions kept the writer, and
	// Compactions how long whole compactions took.
	CompactionSteps, Compactions *tally.Histogram
	// CompactedAt is when the last compaction was finished, in seconds since 1970.
	CompactedAt atomic.Int64

	applied [opCount][2]*tally.Histogram
}

func newStats() *Stats {
	s := &Stats{
		LeaseTTLs:       tally.New(1, 24),
		CompactionSteps: tally.Durations(time.Millisecond, 13),
		Compactions:     tally.Durations(100*time.Millisecond, 14),
	}
	for op := range s.applied {
		for ok := range s.applied[op] {
			s.applied[op][ok] = tally.Durations(100*time.Microsecond, 20)
		}
	}
	return s
}

// Applied is how long requests of a kind took that succeeded, or failed.
func (s *Stats) Applied(op Op, ok bool) tally.Snapshot { return s.applied[op][index(ok)].Snapshot() }

// Ops lists the kinds of requests.
func Ops() []Op {
	all := make([]Op, opCount)
	for i := range all {
		all[i] = Op(i)
	}
	return all
}

func index(ok bool) int {
	if ok {
		return 1
	}
	return 0
}

// Stats returns the counters.
func (f *FSM) Stats() *Stats { return f.stats }

// elapsed is the clock that measures; it stands still if there is none.
func (f *FSM) elapsed() time.Duration {
	if f.cfg.Elapsed == nil {
		return 0
	}
	return f.cfg.Elapsed()
}

// measure counts what a request took since the one before it in its group, and
// tells the log if that was much, or if it was refused.
func (f *FSM) measure(g *group, req *pb.InternalRaftRequest, r *Result) {
	if f.cfg.Elapsed == nil {
		return
	}
	now := f.cfg.Elapsed()
	took := now - g.since
	g.since = now
	// As in etcd, that something is compacted is an answer like others.
	ok := r.Err == nil || errors.Is(r.Err, mvcc.ErrCompacted)
	f.stats.applied[opOf(req)][index(ok)].Observe(took)
	if took > f.cfg.SlowApply {
		f.warnSlow(took, wire.Describe(req), fmt.Sprintf("size:%d", len(r.Body)), r.Err)
	}
	if ok {
		return
	}
	if ce := f.cfg.Logger.Check(zap.WarnLevel, "failed to apply request"); ce != nil {
		ce.Write(zap.Duration("took", took), zap.String("request", wire.Describe(req)),
			zap.String("response", fmt.Sprintf("size:%d", len(r.Body))), zap.Error(r.Err))
	}
}

// measureCommit tells the log if the commit of a group was slow: nobody in it was
// answered meanwhile.
func (f *FSM) measureCommit(g *group, batchBytes int) {
	if f.cfg.Elapsed == nil {
		return
	}
	if took := f.cfg.Elapsed() - g.since; took > f.cfg.SlowApply {
		f.warnSlow(took, fmt.Sprintf("commit of %d entries up to index %d", g.entries, g.last.Index),
			fmt.Sprintf("size:%d", batchBytes), nil)
	}
}

func (f *FSM) warnSlow(took time.Duration, request, response string, err error) {
	f.stats.SlowApplies.Add(1)
	WarnSlow(f.cfg.Logger, Slow{Took: took, Expected: f.cfg.SlowApply, Request: request, Response: response, Err: err})
}

// Slow is a request that took longer than was expected.
type Slow struct {
	Took, Expected time.Duration
	// Prefix tells reads apart, "" for what is applied.
	Prefix, Request, Response string
	Err                       error
}

// WarnSlow writes the line that tools look for.
func WarnSlow(log *zap.Logger, s Slow) {
	ce := log.Check(zap.WarnLevel, "apply request took too long")
	if ce == nil {
		return
	}
	fields := []zap.Field{
		zap.Duration("took", s.Took), zap.Duration("expected-duration", s.Expected), zap.String("prefix", s.Prefix),
		zap.String("request", s.Request), zap.String("response", s.Response),
	}
	if s.Err != nil {
		fields = append(fields, zap.Error(s.Err))
	}
	ce.Write(fields...)
}
