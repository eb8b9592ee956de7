package auth

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWT signs tokens and verifies them. It may be used by many at once; a token that was
// verified before is looked up, and its signature not computed again.
type JWT struct {
	method     jwt.SigningMethod
	signing    any // nil if tokens can only be verified
	verifying  any
	ttl        time.Duration
	rules      []jwt.ParserOption
	mu         sync.Mutex // guards the adding to and thinning of verified
	verified   sync.Map   // token: verifiedToken
	verifiedNo int
}

// verifiedToken is what a verified token says.
type verifiedToken struct {
	id Identity
	// from and until are when it is valid, in seconds since 1970.
	from, until int64
}

const (
	// maxVerified bounds how many tokens are remembered, and maxVerifiedLen how long one
	// may be to be remembered.
	maxVerified    = 4096
	maxVerifiedLen = 2048
)

var errSigningMethod = errors.New("the token is signed by another method")

// Sign makes a token for a user who has proved to be it at a revision of the rules.
func (j *JWT) Sign(user string, revision uint64, now time.Time) (string, error) {
	if j.signing == nil {
		return "", ErrVerifyOnly
	}
	return jwt.NewWithClaims(j.method, jwt.MapClaims{
		"username": user, "revision": revision, "exp": now.Add(j.ttl).Unix(),
	}).SignedString(j.signing)
}

// Verify tells who a token says that its bearer is. It must be signed by our method and
// our key, be valid now, and name a user and a revision.
func (j *JWT) Verify(token string, now time.Time) (Identity, error) {
	if v, ok := j.verified.Load(token); ok {
		if v := v.(verifiedToken); v.from <= now.Unix() && now.Unix() < v.until {
			return v.id, nil
		}
		j.forget(token)
	}
	claims := jwt.MapClaims{}
	clock := jwt.WithTimeFunc(func() time.Time { return now })
	parser := jwt.NewParser(append(j.rules[:len(j.rules):len(j.rules)], clock)...)
	parsed, err := parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if t.Method.Alg() != j.method.Alg() {
			return nil, errSigningMethod
		}
		return j.verifying, nil
	})
	if err != nil {
		return Identity{}, err
	}
	user, ok := claims["username"].(string)
	revision, isNumber := claims["revision"].(float64)
	if !parsed.Valid || !ok || !isNumber || !(revision >= 0 && revision < 1<<63) {
		return Identity{}, errors.New("the token does not name a user and a revision")
	}
	v := verifiedToken{id: Identity{User: user, Revision: uint64(revision)}, from: math.MinInt64, until: math.MaxInt64}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		v.until = exp.Unix()
	}
	if nbf, err := claims.GetNotBefore(); err == nil && nbf != nil {
		v.from = nbf.Unix()
	}
	j.remember(token, v)
	return v.id, nil
}

func (j *JWT) remember(token string, v verifiedToken) {
	if len(token) > maxVerifiedLen {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.verifiedNo >= maxVerified {
		// Which ones go does not matter: they can be verified again.
		j.verified.Range(func(old, _ any) bool {
			j.verified.Delete(old)
			j.verifiedNo--
			return j.verifiedNo > maxVerified/2
		})
	}
	if _, there := j.verified.Swap(token, v); !there {
		j.verifiedNo++
	}
}

func (j *JWT) forget(token string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, there := j.verified.LoadAndDelete(token); there {
		j.verifiedNo--
	}
}
