package admission

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// ErrMemoryShort refuses what is dear while memory is short.
var ErrMemoryShort = errors.New("etcdserver: memory is short, expensive requests are refused for now")

// MemoryConfig is what a Memory needs.
type MemoryConfig struct {
	// Watermark is how many bytes may be in use before expensive requests are refused.
	Watermark int64
	// Used tells how many are, garbage included; Collect removes garbage.
	Used    func() (int64, error)
	Collect func()
	Now     func() time.Time
	Logger  *zap.Logger
}

const (
	// lookInterval is how often the memory in use is looked at: what grows faster than
	// that is not noticed in time.
	lookInterval = 250 * time.Millisecond
	// collectInterval is how often, at most, garbage is collected because memory seems
	// short.
	collectInterval = 10 * time.Second
	// watchesPerSecond are created while memory is short: a client that has lost its
	// connection gets its watches back, thousands at once do not.
	watchesPerSecond = 100
)

// Memory tells whether memory is short. A nil one never does.
type Memory struct {
	cfg       MemoryConfig
	used      atomic.Int64
	short     atomic.Bool
	refused   atomic.Int64
	blind     bool      // the memory in use cannot be told; of Run's goroutine, as is
	collected time.Time // when garbage was collected last

	mu      sync.Mutex // guards watches
	watches bucket
}

// NewMemory returns a Memory that has not looked yet.
func NewMemory(cfg MemoryConfig) *Memory {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Memory{cfg: cfg, watches: newBucket(watchesPerSecond, cfg.Now())}
}

// Run looks at the memory in use until ctx ends.
func (m *Memory) Run(ctx context.Context) {
	t := time.NewTicker(lookInterval)
	defer t.Stop()
	for {
		m.look()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// look finds out whether memory is short. Garbage does not count: before it is, it is
// collected. It ends a sixteenth below the watermark, so that it does not come and go.
func (m *Memory) look() {
	used, err := m.cfg.Used()
	if err != nil {
		if !m.blind {
			m.cfg.Logger.Warn("cannot tell how much memory is in use; nothing is refused for it", zap.Error(err))
		}
		m.blind = true
		m.short.Store(false)
		return
	}
	m.blind = false
	was := m.short.Load()
	limit := m.cfg.Watermark
	if was {
		limit -= limit / 16
	}
	if now := m.cfg.Now(); used > limit && now.Sub(m.collected) >= collectInterval {
		m.cfg.Collect()
		m.collected = now
		if again, err := m.cfg.Used(); err == nil {
			used = again
		}
	}
	m.used.Store(used)
	is := used > limit
	m.short.Store(is)
	switch {
	case is && !was:
		m.cfg.Logger.Warn("memory is short; expensive requests are refused", zap.Int64("used-bytes", used), zap.Int64("watermark-bytes", m.cfg.Watermark))
	case was && !is:
		m.cfg.Logger.Info("memory is not short any more", zap.Int64("used-bytes", used), zap.Int64("watermark-bytes", m.cfg.Watermark))
	}
}

// Short tells whether memory is short.
func (m *Memory) Short() bool { return m != nil && m.short.Load() }

// Refuse returns ErrMemoryShort, and counts it.
func (m *Memory) Refuse() error {
	m.refused.Add(1)
	return ErrMemoryShort
}

// NewWatch refuses a watch if memory is short and many are created.
func (m *Memory) NewWatch() error {
	if !m.Short() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watches.refill(m.cfg.Now()); m.watches.level < 1 {
		return m.Refuse()
	}
	m.watches.level--
	return nil
}

// MemoryStats is what a Memory shows.
type MemoryStats struct {
	Used, Watermark, Refused int64
	Short                    bool
}

// Stats returns the figures; all are 0 if memory is not watched.
func (m *Memory) Stats() MemoryStats {
	if m == nil {
		return MemoryStats{}
	}
	return MemoryStats{m.used.Load(), m.cfg.Watermark, m.refused.Load(), m.short.Load()}
}
