package mvcc

import "errors"

// Refusals that a client may see. package rpc maps each to its code.
var (
	ErrCompacted      = errors.New("etcdserver: mvcc: required revision has been compacted")
	ErrFutureRevision = errors.New("etcdserver: mvcc: required revision is a future revision")
	ErrKeyNotFound    = errors.New("etcdserver: key not found")
	ErrLeaseNotFound  = errors.New("etcdserver: requested lease not found")
	// ErrAnswerTooLarge refuses a range whose answer no message can carry; a
	// limit, or RangeStream, is the way.
	ErrAnswerTooLarge = errors.New("grpc: trying to send message larger than max (2147483647)")
	// ErrBounded refuses a range of a view that is Bounded.
	ErrBounded = errors.New("mvcc: the answer is longer than the view is to give")
)

// ErrViewStale tells that a view of the newest revision was overtaken by a
// compaction before it was read. It never reaches a client: take a new View and
// read again.
var ErrViewStale = errors.New("mvcc: the view was overtaken by a compaction")
