package server

import (
	"sync/atomic"
	"time"

	"bowline/internal/mvcc"

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
	spaceMaxAge  = 500 * time.Millisecond
	reserveSpare = 2 // growth is allowed again at this multiple of the reserve
)

// space judges whether a request may grow the store.
type space struct {
	cfg *Config
	// size is the engine's size in bytes, as of sizeAt.
	size   atomic.Int64
	sizeAt atomic.Int64
	// full tells that the disk is nearly full, as of diskAt.
	full   atomic.Bool
	diskAt atomic.Int64
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
	return s.engineSize(now)+cost < s.cfg.QuotaBytes
}

func (s *space) engineSize(now time.Time) int64 {
	at := s.sizeAt.Load()
	if now.UnixNano()-at > int64(sizeMaxAge) && s.sizeAt.CompareAndSwap(at, now.UnixNano()) {
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

// txnCost is the dearer branch's sum of puts, nested transactions included.
func txnCost(r *pb.TxnRequest) int64 {
	if !mvcc.HasPut(r) {
		return 0
	}
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
