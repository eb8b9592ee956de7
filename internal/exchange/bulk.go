package exchange

import (
	"context"

	bolt "go.etcd.io/bbolt"
)

const (
	// keysPerCommit and bytesPerCommit bound what a transaction of the database holds in
	// memory, and how long its commit works without a rest.
	keysPerCommit  = 1_000
	bytesPerCommit = 1 << 20
)

// bulk writes records, which come in order, into one bucket, so that its pages are
// filled one after the other.
type bulk struct {
	ctx    context.Context
	db     *bolt.DB
	bucket string

	tx    *bolt.Tx
	to    *bolt.Bucket
	n     int
	bytes int
}

// put writes a copy of a record.
func (w *bulk) put(key, value []byte) error {
	if w.tx == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	// The database keeps what it is given until the commit.
	if err := w.to.Put(append([]byte(nil), key...), append([]byte(nil), value...)); err != nil {
		return err
	}
	w.n++
	w.bytes += len(key) + len(value)
	if w.n < keysPerCommit && w.bytes < bytesPerCommit {
		return nil
	}
	if err := w.finish(); err != nil {
		return err
	}
	return w.ctx.Err()
}

func (w *bulk) begin() (err error) {
	if w.tx, err = w.db.Begin(true); err != nil {
		return err
	}
	if w.to, err = w.tx.CreateBucketIfNotExists([]byte(w.bucket)); err != nil {
		return err
	}
	w.to.FillPercent = 1
	return nil
}

// finish commits what was put.
func (w *bulk) finish() error {
	if w.tx == nil {
		return nil
	}
	tx := w.tx
	w.tx, w.n, w.bytes = nil, 0, 0
	return tx.Commit()
}

// abandon gives up what was not committed.
func (w *bulk) abandon() {
	if w.tx != nil {
		_ = w.tx.Rollback()
	}
}
