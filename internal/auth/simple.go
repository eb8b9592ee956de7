package auth

import (
	"cmp"
	"crypto/rand"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tokenLetters is the alphabet of tokens, and tokenLength how many stand before the
	// dot; behind it stands the index of the entry that assigned the token.
	tokenLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	tokenLength  = 16
	// DefaultTTL is for how long a simple token lives that is not used.
	DefaultTTL = 300 * time.Second
	// A token is prolonged by a use only when some time has passed since the last time,
	// this part of its life: many callers share one, and should not all write to it.
	renewalPart = 16
	// maxTokens bounds the tokens. Beyond it those go that were not used for longest.
	maxTokens = 1 << 18
)

// SimpleTokens are the tokens that were assigned through the log. They may be used by
// many at once; a look-up takes no lock.
type SimpleTokens struct {
	ttl   time.Duration
	max   int64
	byKey sync.Map // token: *simpleToken
	count atomic.Int64
	// mu keeps those apart who remove tokens.
	mu sync.Mutex
}

type simpleToken struct {
	user string
	// expires is in nanoseconds since 1970.
	expires atomic.Int64
}

// NewSimpleTokens returns a set without tokens; a TTL of 0 is the default.
func NewSimpleTokens(ttl time.Duration) *SimpleTokens {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	return &SimpleTokens{ttl: ttl, max: maxTokens}
}

// NewPrefix draws the part of a token that stands before the dot.
func NewPrefix() (string, error) {
	letters := make([]byte, tokenLength)
	for i := range letters {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(tokenLetters))))
		if err != nil {
			return "", err
		}
		letters[i] = tokenLetters[n.Int64()]
	}
	return string(letters), nil
}

// TokenIndex is the index of the entry that has assigned a token, if it looks like
// one.
func TokenIndex(token string) (uint64, bool) {
	prefix, index, ok := strings.Cut(token, ".")
	if !ok || len(prefix) != tokenLength {
		return 0, false
	}
	n, err := strconv.ParseUint(index, 10, 64)
	return n, err == nil
}

// User is whose a token is; it prolongs its life.
func (t *SimpleTokens) User(token string, now time.Time) (string, bool) {
	v, ok := t.byKey.Load(token)
	if !ok {
		return "", false
	}
	s := v.(*simpleToken)
	expires := s.expires.Load()
	if now.UnixNano() >= expires {
		return "", false
	}
	if until := now.Add(t.ttl).UnixNano(); until-expires >= int64(t.ttl/renewalPart) {
		s.expires.CompareAndSwap(expires, until)
	}
	return s.user, true
}

// Assign adds a token.
func (t *SimpleTokens) Assign(user, token string, now time.Time) {
	s := &simpleToken{user: user}
	s.expires.Store(now.Add(t.ttl).UnixNano())
	if _, there := t.byKey.Swap(token, s); there {
		return
	}
	if t.count.Add(1) > t.max {
		t.mu.Lock()
		t.thinLocked()
		t.mu.Unlock()
	}
}

// thinLocked removes an eighth of the tokens: those that expire first.
func (t *SimpleTokens) thinLocked() {
	type aged struct {
		token   any
		expires int64
	}
	var all []aged
	t.byKey.Range(func(token, v any) bool {
		all = append(all, aged{token, v.(*simpleToken).expires.Load()})
		return true
	})
	slices.SortFunc(all, func(a, b aged) int { return cmp.Compare(a.expires, b.expires) })
	for _, a := range all[:len(all)/8+1] {
		t.removeLocked(a.token)
	}
}

func (t *SimpleTokens) removeLocked(token any) {
	if _, there := t.byKey.LoadAndDelete(token); there {
		t.count.Add(-1)
	}
}

// EndOf ends the tokens of a user.
func (t *SimpleTokens) EndOf(user string) {
	t.endIf(func(s *simpleToken) bool { return s.user == user })
}

// EndAll ends all tokens.
func (t *SimpleTokens) EndAll() { t.endIf(func(*simpleToken) bool { return true }) }

// Expire removes the tokens whose time is over.
func (t *SimpleTokens) Expire(now time.Time) {
	t.endIf(func(s *simpleToken) bool { return now.UnixNano() >= s.expires.Load() })
}

func (t *SimpleTokens) endIf(ended func(*simpleToken) bool) {
	if t.count.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byKey.Range(func(token, v any) bool {
		if ended(v.(*simpleToken)) {
			t.removeLocked(token)
		}
		return true
	})
}

// Len is the number of tokens.
func (t *SimpleTokens) Len() int { return int(t.count.Load()) }
