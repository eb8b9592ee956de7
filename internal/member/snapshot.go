package member

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"bowline/internal/exchange"

	"go.uber.org/zap"
)

// snapshotDirPrefix begins the names of directories for snapshots under
// construction; what a crash leaves of them is removed at the next start.
const snapshotDirPrefix = "snapshot-"

// Snapshot is the file that the Snapshot call streams: the state between two
// groups of entries, as a file of etcd's.
func (m *Member) Snapshot(ctx context.Context) (io.ReadCloser, int64, string, error) {
	dir, err := os.MkdirTemp(m.dir.member, snapshotDirPrefix)
	if err != nil {
		return nil, 0, "", fmt.Errorf("snapshot: %w", err)
	}
	defer os.RemoveAll(dir)
	x := m.fsm.Export()
	defer x.Close()
	m.log.Info("making a database snapshot for a client", zap.Uint64("index", x.Position.Index))
	began := time.Now()
	f, err := exchange.WriteImage(ctx, dir, x)
	if err != nil {
		return nil, 0, "", err
	}
	m.metrics.snapshots.Observe(time.Since(began).Seconds())
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, "", fmt.Errorf("snapshot: %w", err)
	}
	return image{exchange.WithDigest(exchange.RestfulReader(ctx, f, x)), f, m}, info.Size() + exchange.DigestBytes, x.ClusterVersion, nil
}

// image reads a snapshot, and gives its space back piece by piece.
type image struct {
	io.Reader
	file *os.File
	m    *Member
}

// Close implements io.Closer.
func (i image) Close() error { return i.m.disk.Take(i.file, i.m.dir.member) }

// clearSnapshots removes what a crash has left of snapshots under construction.
func (d *dataDir) clearSnapshots() error {
	left, err := filepath.Glob(filepath.Join(d.member, snapshotDirPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := d.fs.RemoveAll(dir); err != nil {
			return fmt.Errorf("cannot write to member directory: %w", err)
		}
	}
	return nil
}
