package lease

import (
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Refusals that a client may see. package rpc maps each to its code.
var (
	ErrNotFound    = errors.New("etcdserver: requested lease not found")
	ErrExists      = errors.New("etcdserver: lease already exists")
	ErrTTLTooLarge = errors.New("etcdserver: too large lease TTL")
	// ErrNotPrimary is the answer of a keeper that was not promoted.
	ErrNotPrimary = errors.New("not a primary lessor")
)

// MaxTTL is the longest TTL, in seconds, that is granted.
const MaxTTL = 9_000_000_000

// Lease is what all members know of a lease. TTLs are in seconds.
type Lease struct {
	ID int64
	// TTL is what was granted.
	TTL int64
	// Remaining is what was left at the last checkpoint, 0 if there was none since
	// the last renewal.
	Remaining int64
}

// Left is the TTL from which a new leader counts down.
func (l Lease) Left() time.Duration {
	if l.Remaining > 0 {
		return seconds(l.Remaining)
	}
	return seconds(l.TTL)
}

// seconds converts a TTL. A stored one beyond MaxTTL becomes one that a Duration
// can hold and that can still be added to a time.
func seconds(ttl int64) time.Duration {
	return time.Duration(min(ttl, MaxTTL)) * time.Second
}

// MinTTL is the shortest TTL, in seconds, that is granted: less than one and a half
// election timeouts could not be renewed across a change of leader.
func MinTTL(electionTimeout time.Duration) int64 {
	return int64(math.Ceil(1.5 * electionTimeout.Seconds()))
}

// Fields of the stored lease, and their tags.
const (
	fieldID        = 1
	fieldTTL       = 2
	fieldRemaining = 3
)

// Append appends the stored form of l to dst: a protobuf message with the fields
// 1 ID, 2 TTL, 3 remaining TTL, zeroes left out.
func (l Lease) Append(dst []byte) []byte {
	for field, v := range [...]int64{fieldID: l.ID, fieldTTL: l.TTL, fieldRemaining: l.Remaining} {
		if v != 0 {
			dst = protowire.AppendTag(dst, protowire.Number(field), protowire.VarintType)
			dst = protowire.AppendVarint(dst, uint64(v))
		}
	}
	return dst
}

// Parse reads the stored form. Unknown fields are skipped.
func Parse(b []byte) (Lease, error) {
	var l Lease
	for at := 0; at < len(b); {
		field, kind, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return Lease{}, fmt.Errorf("lease: damaged record of %d bytes at offset %d: %w", len(b), at, protowire.ParseError(n))
		}
		value := b[at+n:]
		v, m := uint64(0), 0
		if known := field >= fieldID && field <= fieldRemaining && kind == protowire.VarintType; known {
			v, m = protowire.ConsumeVarint(value)
		} else {
			m = protowire.ConsumeFieldValue(field, kind, value)
			field = 0
		}
		if m < 0 {
			return Lease{}, fmt.Errorf("lease: damaged record of %d bytes at offset %d: %w", len(b), at, protowire.ParseError(m))
		}
		at += n + m
		switch field {
		case fieldID:
			l.ID = int64(v)
		case fieldTTL:
			l.TTL = int64(v)
		case fieldRemaining:
			l.Remaining = int64(v)
		}
	}
	return l, nil
}
