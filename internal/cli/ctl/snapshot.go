package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"bowline/internal/cli"
)

func newSnapshot(env *Env) *cobra.Command {
	return newGroup("snapshot", "Manages snapshots of a member", newSnapshotSave(env), newSnapshotRestore(env), newSnapshotStatus(env))
}

// snapshotSave is the command snapshot save.
type snapshotSave struct{}

func newSnapshotSave(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "save <filename>",
		Short: "Saves a snapshot of the store to a file",
		Example: `  etcdctl snapshot save backup.db
  etcdctl --endpoints=https://127.0.0.1:2379 --cacert=ca.crt --cert=client.crt --key=client.key snapshot save backup.db`,
		RunE: env.action(snapshotSave{}),
	}
}

func (snapshotSave) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("snapshot save expects one argument <filename>")
	}
	s, err := env.prepare(ctx)
	if err != nil {
		return err
	}
	if eps := s.cfg.Endpoints; len(eps) != 1 {
		return cli.Exitf(cli.ExitInterrupted, "snapshot must be requested to one selected node, not multiple %v", eps)
	}
	if err := s.open(ctx); err != nil {
		return cli.Exit(cli.ExitInterrupted, err)
	}
	defer s.Close()
	// A snapshot may take long: only a deadline that was asked for counts.
	if env.flags.Changed("command-timeout") {
		var cancel context.CancelFunc
		ctx, cancel = s.limit(ctx)
		defer cancel()
	}
	version, err := s.saveSnapshot(ctx, args[0])
	if err != nil {
		return cli.Exit(cli.ExitInterrupted, err)
	}
	return s.PrintText(cli.Result{Simple: func(w *cli.TextWriter) {
		w.Linef("Snapshot saved at %s", args[0])
		if version != "" {
			w.Linef("Server version %s", version)
		}
	}})
}

// saveSnapshot downloads a snapshot to path. Until it is complete and on disk it
// has another name, so that path never holds half a snapshot.
func (s *session) saveSnapshot(ctx context.Context, path string) (version string, err error) {
	lg := newLogger(s.env.Err, zap.InfoLevel)
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", fmt.Errorf("could not open %s (%w)", part, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(part)
		}
	}()
	lg.Info("created temporary db file", zap.String("path", part))

	start := time.Now()
	lg.Info("fetching snapshot", zap.String("endpoint", s.cfg.Endpoints[0]))
	size, version, err := s.fetchSnapshot(ctx, f)
	if err != nil {
		return "", err
	}
	if !hasChecksum(size) {
		return "", fmt.Errorf("sha256 checksum not found [bytes: %d]", size)
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	lg.Info("fetched snapshot", zap.String("endpoint", s.cfg.Endpoints[0]), zap.String("size", humanize.Bytes(uint64(size))),
		zap.Duration("took", time.Since(start)), zap.String("etcd-version", version))
	if err := os.Rename(part, path); err != nil {
		return "", fmt.Errorf("could not rename %s to %s (%w)", part, path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	lg.Info("saved", zap.String("path", path))
	return version, nil
}

// hasChecksum tells by the size whether a snapshot ends with its SHA-256: a
// database is a number of whole sectors, and the checksum takes 32 bytes.
func hasChecksum(size int64) bool { return size%512 == 32 }

// syncDir makes a rename in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fetchSnapshot copies the snapshot stream to w. It reads the RPC itself, since
// the client library's reader does not tell how much is still to come.
func (s *session) fetchSnapshot(ctx context.Context, w io.Writer) (size int64, version string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	remote := etcdserverpb.NewMaintenanceClient(s.ActiveConnection())
	stream, err := remote.Snapshot(ctx, &etcdserverpb.SnapshotRequest{},
		grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		return 0, "", clientv3.ContextError(ctx, err)
	}
	bar := s.env.newProgress(true)
	defer bar.finish()
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return size, version, nil
		}
		if ctx.Err() != nil {
			return 0, "", ctx.Err()
		}
		if err != nil {
			return 0, "", err
		}
		if version == "" {
			version = resp.GetVersion()
		}
		n, err := io.Copy(w, bytes.NewReader(resp.GetBlob()))
		if err != nil {
			return 0, "", err
		}
		size += n
		bar.set(size, size+int64(resp.GetRemainingBytes()))
	}
}
