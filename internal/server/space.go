package server

import (
	"context"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// DefaultQuotaBytes is what the status of a member reports as its quota when none
// is set. It is not enforced: without a quota the disk is the limit.
const DefaultQuotaBytes = 2 << 30

// What a request counts towards the quota beside its bytes; etcd's numbers.
const (
	putOverhead  = 256
	leaseCost    = 64
	sizeMaxAge   = 100 * time.Millisecond
	refusalAge   = time.Millisecond // of the size that a refusal rests on
	spaceMaxAge  = 500 * time.Millisecond
	reserveSpare = 2 // growth is allowed again at this multiple of the reserve
)

// space judges whether a request may grow the store.
type space struct {
	cfg *Config
	// size is the engine's size in bytes, as of sizeAt.
	size   atomic.Int64
	sizeAt atomic.Int64
	// exceededAt is the engine's size when the quota refused a request, 0 if it has
	// shrunk since. Disarming the alarm does not make room, so until then every
	// request that grows the store is refused, as an operator of etcd expects.
	exceededAt atomic.Int64
	// full tells that the disk is nearly full, as of diskAt.
	full   atomic.Bool
	diskAt atomic.Int64
	// raised tells that this member has raised its alarm because of the disk, and
	// may lift it.
	raised atomic.Bool
	// asked tells that a client has activated it since the start: it is the client's to lift.
	asked atomic.Bool
}

func newSpace(cfg *Config) *space { return &space{cfg: cfg} }

// fits tells whether a request of this cost may be applied here.
func (s *space) fits(cost int64, now time.Time) bool {
	if cost == 0 {
		return true
	}
	if s.diskFull(now) {
		return false
	}
	if s.cfg.QuotaBytes <= 0 {
		return true
	}
	if s.withinQuota(s.engineSize(now, sizeMaxAge), cost) {
		return true
	}
	// Room that was made since the last look counts: operators compact, disarm the
	// alarm and write at once.
	size := s.engineSize(now, refusalAge)
	if s.withinQuota(size, cost) {
		return true
	}
	s.exceededAt.CompareAndSwap(0, size)
	return false
}

func (s *space) withinQuota(size, cost int64) bool {
	if at := s.exceededAt.Load(); at > 0 && size < at {
		s.exceededAt.CompareAndSwap(at, 0)
	}
	return s.exceededAt.Load() == 0 && size+cost < s.cfg.QuotaBytes
}

// watchSpace lifts this member's alarm when the disk has room again, if the disk
// was the reason for it. An alarm that a quota has raised is the operator's to
// disarm.
func (s *Server) watchSpace(ctx context.Context) {
	if s.cfg.QuotaBytes > 0 || s.cfg.FreeSpace == nil {
		return
	}
	known := s.adoptNoSpace(ctx)
	for now := range ticks(ctx, spaceMaxAge) {
		known = known || s.adoptNoSpace(ctx)
		full := s.space.diskFull(now)
		if full && !s.alarmed(pb.AlarmType_NOSPACE) {
			if err := s.raiseNoSpace(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("cannot raise the NOSPACE alarm", zap.Error(err))
			}
		}
		if !full && s.space.raised.Load() && s.alarmed(pb.AlarmType_NOSPACE) {
			s.liftNoSpace(ctx)
		}
	}
}

// adoptNoSpace takes over an alarm from before a restart: without a quota it can only have
// been the disk's. It may stand in entries that are applied only after the start, so
// everything committed until now is waited for; false if that was in vain.
func (s *Server) adoptNoSpace(ctx context.Context) bool {
	if s.readIndex(ctx) != nil {
		return false
	}
	if s.alarmed(pb.AlarmType_NOSPACE) && !s.space.asked.Load() {
		s.space.raised.Store(true)
	}
	return true
}

func (s *Server) liftNoSpace(ctx context.Context) {
	_, err := s.Alarm(ctx, &pb.AlarmRequest{MemberID: s.cfg.MemberID, Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE})
	if err != nil {
		return // tried again at the next tick
	}
	s.space.raised.Store(false)
	s.cfg.Logger.Info("the disk has room again; NOSPACE alarm lifted")
}

// alarmed tells whether this member has raised an alarm.
func (s *Server) alarmed(t pb.AlarmType) bool {
	for _, a := range s.fsm.Alarms() {
		if a.MemberID == s.cfg.MemberID && a.Alarm == t {
			return true
		}
	}
	return false
}

func (s *space) engineSize(now time.Time, maxAge time.Duration) int64 {
	at := s.sizeAt.Load()
	if now.UnixNano()-at > int64(maxAge) && s.sizeAt.CompareAndSwap(at, now.UnixNano()) {
		s.size.Store(s.cfg.Engine.Size().Total)
	}
	return s.size.Load()
}

// diskFull tells whether the disk has less room than the reserve; once it had,
// it must have twice as much before growth is allowed again.
func (s *space) diskFull(now time.Time) bool {
	if s.cfg.FreeSpace == nil {
		return false
	}
	at := s.diskAt.Load()
	if now.UnixNano()-at <= int64(spaceMaxAge) || !s.diskAt.CompareAndSwap(at, now.UnixNano()) {
		return s.full.Load()
	}
	free, err := s.cfg.FreeSpace()
	if err != nil {
		s.cfg.Logger.Warn("cannot tell how much room the disk has", zap.Error(err))
		return s.full.Load()
	}
	limit := s.cfg.Reserve
	if s.full.Load() {
		limit *= reserveSpare
	}
	s.full.Store(free < limit)
	return free < limit
}

func putCost(r *pb.PutRequest) int64 { return putOverhead + int64(len(r.Key)+len(r.Value)) }

// txnCost is the dearer branch's sum of puts, nested transactions included; 0 if
// there are none.
func txnCost(r *pb.TxnRequest) int64 {
	return max(opsCost(r.Success), opsCost(r.Failure))
}

func opsCost(ops []*pb.RequestOp) int64 {
	var n int64
	for _, op := range ops {
		switch {
		case op.GetRequestPut() != nil:
			n += putCost(op.GetRequestPut())
		case op.GetRequestTxn() != nil:
			n += txnCost(op.GetRequestTxn())
		}
	}
	return n
}
