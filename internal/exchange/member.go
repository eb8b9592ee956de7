package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"

	"github.com/cockroachdb/pebble/v2/vfs"
	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// Runbooks name a member's database: DATA-DIR/member/snap/db. In our directories that
// name stands for the engine, so that they go on working.

// memberOf returns the member's directory, if name is such a name in a directory of
// ours.
func memberOf(name string) (dir string, ours bool) {
	dir, found := strings.CutSuffix(filepath.ToSlash(name), "/"+engine.SignpostFile)
	if !found {
		return "", false
	}
	_, err := os.Stat(filepath.Join(dir, engine.FormatFile))
	return dir, err == nil
}

// openAny opens a snapshot file, or the database of a stopped member.
func openAny(ctx context.Context, name string, timeout time.Duration) (*database, error) {
	if dir, ours := memberOf(name); ours {
		return exportMember(ctx, dir, timeout, zap.NewNop())
	}
	if _, err := os.Stat(name); err != nil {
		return nil, err
	}
	return openDatabase(name)
}

// lockMember locks the directory of a member of ours, which must not be running.
func lockMember(ctx context.Context, dir string, timeout time.Duration) (io.Closer, error) {
	return waitForLock(ctx, dir, timeout, func() (io.Closer, error) { return vfs.Default.Lock(filepath.Join(dir, engine.LockFile)) })
}

// waitForLock tries until nobody else has the lock, or for so long.
func waitForLock(ctx context.Context, name string, timeout time.Duration, try func() (io.Closer, error)) (io.Closer, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for {
		lock, err := try()
		if err == nil {
			return lock, nil
		}
		t := time.NewTimer(lockRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("%s is in use: stop the member first: %w", name, err)
		}
	}
}

const lockRetry = 100 * time.Millisecond

// withMember calls f with the engine of a stopped member.
func withMember(ctx context.Context, dir string, timeout time.Duration, log *zap.Logger, f func(*engine.Engine) error) (err error) {
	lock, err := lockMember(ctx, dir, timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	name, err := engine.Current(vfs.Default, dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(name); err != nil {
		return err
	}
	e, err := engine.Open(name, engine.Options{Logger: log.Named("engine")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return f(e)
}

// exportMember makes a database of a stopped member's state: what its engine holds,
// which after a crash may be less than its log does.
func exportMember(ctx context.Context, dir string, timeout time.Duration, log *zap.Logger) (db *database, err error) {
	err = withMember(ctx, dir, timeout, log, func(e *engine.Engine) error {
		f, err := fsm.Open(fsm.Config{Engine: e, Logger: log})
		if err != nil {
			return err
		}
		temporary, err := os.MkdirTemp(dir, "snapshot-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		x := f.Export()
		file, err := WriteImage(ctx, temporary, x)
		if err = errors.Join(err, x.Close()); err != nil {
			return err
		}
		db, err = loadDatabase(filepath.Join(dir, engine.SignpostFile), file)
		return err
	})
	if err != nil && db != nil {
		err = errors.Join(err, db.close())
	}
	return db, err
}

// Defragment gives back what a stopped member's files take beyond its data, etcd's or
// ours.
func Defragment(ctx context.Context, dataDir string, timeout time.Duration, log *zap.Logger) error {
	name := filepath.Join(dataDir, engine.MemberDir, engine.SignpostFile)
	if dir, ours := memberOf(name); ours {
		return withMember(ctx, dir, timeout, log, func(e *engine.Engine) error { return e.Reclaim(ctx) })
	}
	if _, err := os.Stat(name); err != nil {
		return err
	}
	return rewriteDatabase(name, timeout)
}

// rewriteTxBytes is how much is copied in one transaction.
const rewriteTxBytes = 64 << 20

// rewriteDatabase copies a database of etcd to a file without free pages, which takes
// its place.
func rewriteDatabase(name string, timeout time.Duration) (err error) {
	if db, err := openDatabase(name); err != nil {
		return err // before bbolt, which panics
	} else if err := db.close(); err != nil {
		return err
	}
	source, err := bolt.Open(name, 0o600, &bolt.Options{Timeout: timeout})
	if errors.Is(err, bolt.ErrTimeout) {
		return fmt.Errorf("%s is in use: stop the member first: %w", name, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	temporary := name + ".tmp.defrag"
	if err := removeIfThere(temporary); err != nil {
		return err
	}
	target, err := bolt.Open(temporary, 0o600, &bolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = bolt.Compact(target, source, rewriteTxBytes)
	if err == nil {
		err = target.Sync()
	}
	if err = errors.Join(err, target.Close()); err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// IsOurs tells whether name stands for the engine of a directory of ours.
func IsOurs(name string) bool {
	_, ours := memberOf(name)
	return ours
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
