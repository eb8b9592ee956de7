package server

import "errors"

// Refusals of requests before they are proposed, or of waits that came to
// nothing. Their texts reach clients; package rpc maps each to its code.
var (
	ErrEmptyKey        = errors.New("etcdserver: key is not provided")
	ErrKeyNotFound     = errors.New("etcdserver: key not found")
	ErrValueProvided   = errors.New("etcdserver: value is provided")
	ErrLeaseProvided   = errors.New("etcdserver: lease is provided")
	ErrTooManyOps      = errors.New("etcdserver: too many operations in txn request")
	ErrDuplicateKey    = errors.New("etcdserver: duplicate key given in txn request")
	ErrInvalidSort     = errors.New("etcdserver: invalid sort option")
	ErrRequestTooLarge = errors.New("etcdserver: request is too large")
	ErrTooManyRequests = errors.New("etcdserver: too many requests")
	ErrNoLeader        = errors.New("etcdserver: no leader")
	ErrNotLeader       = errors.New("etcdserver: not leader")
	ErrLeaderChanged   = errors.New("etcdserver: leader changed")
	ErrStopped         = errors.New("etcdserver: server stopped")
	ErrTimeout         = errors.New("etcdserver: request timed out")
	ErrTimeoutLeader   = errors.New("etcdserver: request timed out, possibly due to previous leader failure")
	ErrTimeoutApplied  = errors.New("etcdserver: request timed out, waiting for the applied index took too long")
	ErrBadTransferee   = errors.New("etcdserver: bad leader transferee")
	ErrUnknownMethod   = errors.New("etcdserver: unknown method")
	ErrBadAlarmAction  = errors.New("etcdserver: unknown alarm action")
	ErrBadVersion      = errors.New("etcdserver: wrong downgrade target version format")
	ErrInvalidTarget   = errors.New("etcdserver: invalid downgrade target version")
	ErrNoVersion       = errors.New("etcdserver: cluster version not found during downgrade")
	ErrPasswordTooLong = errors.New("bcrypt: password length exceeds 72 bytes")
	ErrStreamSort      = errors.New("RangeStream does not support custom sort orders")
	ErrStreamFilters   = errors.New("RangeStream does not support revision filters")
)
