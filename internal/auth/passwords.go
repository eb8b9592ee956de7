package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/authpb"
	"golang.org/x/crypto/bcrypt"
)

const (
	// maxRemembered bounds how many verified passwords are remembered.
	maxRemembered = 4096
	// maxWaiting bounds how many may wait for a hash to be computed.
	maxWaiting = 1024
)

// Passwords hashes and compares passwords. Hashing is dear on purpose, so it takes at
// most half of the processors, whoever asks for it, and a password that was right is
// remembered, by a hash of its own that dies with this process.
type Passwords struct {
	cost    int
	salt    [32]byte
	slots   chan struct{}
	waiting atomic.Int64
	// decoy is what the passwords of users are compared with who do not exist, so that
	// time does not tell who does.
	decoy func() []byte

	mu         sync.Mutex // guards remembered
	remembered map[[sha256.Size]byte]struct{}
}

// NewPasswords hashes with this cost; 0 is bcrypt's default.
func NewPasswords(cost int) *Passwords {
	if cost == 0 {
		cost = bcrypt.DefaultCost
	}
	p := &Passwords{cost: cost, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		remembered: make(map[[sha256.Size]byte]struct{})}
	// The standard library promises that this does not fail.
	_, _ = rand.Read(p.salt[:])
	p.decoy = sync.OnceValue(func() []byte {
		hash, err := bcrypt.GenerateFromPassword(p.salt[:], p.cost)
		if err != nil {
			panic("auth: a hash of 32 bytes: " + err.Error())
		}
		return hash
	})
	return p
}

// dearly runs f when its turn has come.
func (p *Passwords) dearly(ctx context.Context, f func()) error {
	if p.waiting.Add(1) > maxWaiting {
		p.waiting.Add(-1)
		return ErrBusy
	}
	defer p.waiting.Add(-1)
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	f()
	return nil
}

// Hash is the hash of a new password.
func (p *Passwords) Hash(ctx context.Context, password string) (hash []byte, err error) {
	busy := p.dearly(ctx, func() { hash, err = bcrypt.GenerateFromPassword([]byte(password), p.cost) })
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		err = ErrPasswordTooLong
	}
	return hash, errors.Join(busy, err)
}

// Verify refuses a password that is not u's; nil is a user who does not exist.
func (p *Passwords) Verify(ctx context.Context, u *authpb.User, password string) error {
	if u.GetOptions().GetNoPassword() {
		return ErrNoPassword
	}
	hash := p.decoyUnless(u)
	key := p.key(hash, password)
	if p.knows(key) {
		return nil
	}
	var wrong error
	if busy := p.dearly(ctx, func() { wrong = bcrypt.CompareHashAndPassword(hash, []byte(password)) }); busy != nil {
		return busy
	}
	if u == nil || wrong != nil {
		return ErrFailed
	}
	p.remember(key)
	return nil
}

func (p *Passwords) decoyUnless(u *authpb.User) []byte {
	if u == nil {
		return p.decoy()
	}
	return u.Password
}

// key is what a pair of hash and password is remembered under. When the password
// changes so does the stored hash, and nothing leads to the old key any more.
func (p *Passwords) key(hash []byte, password string) [sha256.Size]byte {
	inner := sha256.Sum256(append(p.salt[:len(p.salt):len(p.salt)], hash...))
	return sha256.Sum256(append(inner[:], password...))
}

func (p *Passwords) knows(key [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.remembered[key]
	return ok
}

func (p *Passwords) remember(key [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for old := range p.remembered {
		if len(p.remembered) < maxRemembered {
			break
		}
		delete(p.remembered, old)
	}
	p.remembered[key] = struct{}{}
}

// Forget forgets which passwords were right.
func (p *Passwords) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.remembered)
}
