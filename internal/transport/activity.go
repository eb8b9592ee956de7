package transport

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// activity is whether a peer can be reached: from the first success until an error.
type activity struct {
	log         *zap.Logger
	id          string
	disconnects atomic.Uint64

	mu    sync.Mutex // guards since
	since time.Time  // zero if it cannot
}

func (a *activity) succeeded() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since.IsZero() {
		a.since = time.Now()
		a.log.Info("peer became active", zap.String("peer-id", a.id))
	}
}

// failed tells what was tried ("dial"), by which way, and why it failed.
func (a *activity) failed(action, way string, err error) {
	err = fmt.Errorf("failed to %s %s on %s (%w)", action, a.id, way, err)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since.IsZero() {
		a.log.Debug("peer deactivated again", zap.String("peer-id", a.id), zap.Error(err))
		return
	}
	a.since = time.Time{}
	a.disconnects.Add(1)
	a.log.Warn("peer became inactive (message send to peer failed)", zap.String("peer-id", a.id), zap.Error(err))
}

func (a *activity) activeSince() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.since
}
