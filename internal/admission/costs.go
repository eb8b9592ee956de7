package admission

import (
	"errors"
	"maps"
	"sync"
	"time"
)

// Refusals of those who ask too much.
var (
	ErrTooManyRequests = errors.New("etcdserver: too many requests of this user, see --user-request-rate")
	ErrTooManyBytes    = errors.New("etcdserver: too many bytes of this user, see --user-byte-rate")
)

// CostsConfig is what a Costs needs. A rate of 0 is none.
type CostsConfig struct {
	Requests, Bytes uint // per second, of each user
	Now             func() time.Time
}

const (
	// maxSpenders is how many users are told apart, and maxShown how many in Refused.
	// Beyond that they share.
	maxSpenders = 16384
	maxShown    = 128
	// others are all of those together.
	others = "(others)"
)

// Costs counts what users cost. A nil one counts nothing and refuses nobody.
type Costs struct {
	cfg CostsConfig

	mu      sync.Mutex // guards what follows
	by      map[string]*spender
	refused map[string]int64
	// swept is when by was searched for those who can be forgotten: that is dear, and
	// nobody's buckets are full again sooner than after a second.
	swept time.Time
}

type spender struct{ requests, bytes bucket }

// NewCosts returns nil if no rate is set.
func NewCosts(cfg CostsConfig) *Costs {
	if cfg.Requests == 0 && cfg.Bytes == 0 {
		return nil
	}
	return &Costs{cfg: cfg, by: make(map[string]*spender), refused: make(map[string]int64)}
}

// Begin refuses a request of a user who has spent what there was. Otherwise it costs a
// request and bytes, even more than there are.
func (c *Costs) Begin(user string, bytes int) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.find(user)
	var err error
	switch {
	case c.cfg.Requests > 0 && s.requests.level < 1:
		err = ErrTooManyRequests
	case c.cfg.Bytes > 0 && s.bytes.level <= 0:
		err = ErrTooManyBytes
	default:
		s.requests.level--
		s.bytes.level -= float64(bytes)
		return nil
	}
	if _, shown := c.refused[user]; !shown && len(c.refused) >= maxShown {
		user = others
	}
	c.refused[user]++
	return err
}

// Charge adds what was found out later: an answer's bytes, or messages of a stream.
func (c *Costs) Charge(user string, requests, bytes int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.find(user)
	// A stream cannot run up a debt of requests that nothing pays off in time.
	s.requests.level = max(s.requests.level-float64(requests), -float64(c.cfg.Requests))
	s.bytes.level -= float64(bytes)
}

// find returns a user's buckets as of now. The caller holds mu.
func (c *Costs) find(user string) *spender {
	now := c.cfg.Now()
	s := c.by[user]
	if s == nil {
		if len(c.by) >= maxSpenders && now.Sub(c.swept) >= time.Second {
			c.forget(now)
		}
		if len(c.by) >= maxSpenders {
			user = others
			s = c.by[user]
		}
		if s == nil {
			s = &spender{newBucket(float64(c.cfg.Requests), now), newBucket(float64(c.cfg.Bytes), now)}
			c.by[user] = s
		}
	}
	s.requests.refill(now)
	s.bytes.refill(now)
	return s
}

// forget drops those who have not asked for anything for a while. The caller holds mu.
func (c *Costs) forget(now time.Time) {
	c.swept = now
	for user, s := range c.by {
		s.requests.refill(now)
		s.bytes.refill(now)
		if (c.cfg.Requests == 0 || s.requests.full()) && (c.cfg.Bytes == 0 || s.bytes.full()) {
			delete(c.by, user)
		}
	}
}

// Refused counts refusals by user.
func (c *Costs) Refused() map[string]int64 {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.refused)
}
