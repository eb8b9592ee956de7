package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"bowline/internal/server"
	"bowline/internal/wire"

	"github.com/dustin/go-humanize"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// into decodes an encoded answer into the message of a generated service.
func into[M proto.Message](m M, a *wire.Answer, err error) (M, error) {
	var none M
	if err != nil {
		return none, toStatus(err)
	}
	defer a.Release()
	if err := proto.Unmarshal(a.Bytes(), m); err != nil {
		return none, status.Error(codes.Internal, err.Error())
	}
	return m, nil
}

// checked maps the error of a call that answers with a message.
func checked[M proto.Message](m M, err error) (M, error) {
	if err != nil {
		var none M
		return none, toStatus(err)
	}
	return m, nil
}

// maintenance is the Maintenance service.
type maintenance struct {
	pb.UnimplementedMaintenanceServer
	server   *server.Server
	snapshot Snapshotter
	log      *zap.Logger
}

// Snapshotter produces the file that the Snapshot call streams.
type Snapshotter interface {
	// Snapshot returns a whole snapshot file, its closing digest included, with its
	// size; the caller closes it. version is the storage version of the data.
	Snapshot(ctx context.Context) (file io.ReadCloser, size int64, version string, err error)
}

func (m *maintenance) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	a, err := m.server.Alarm(ctx, r)
	return into(new(pb.AlarmResponse), a, err)
}

func (m *maintenance) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return m.server.Status(), nil
}

func (m *maintenance) Defragment(ctx context.Context, _ *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return checked(new(pb.DefragmentResponse), m.server.Defragment(ctx))
}

func (m *maintenance) Hash(ctx context.Context, _ *pb.HashRequest) (*pb.HashResponse, error) {
	return checked(m.server.Hash(ctx))
}

func (m *maintenance) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	return checked(m.server.HashKV(ctx, r.Revision))
}

func (m *maintenance) MoveLeader(ctx context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	return checked(new(pb.MoveLeaderResponse), m.server.MoveLeader(ctx, r.TargetID))
}

func (m *maintenance) Downgrade(ctx context.Context, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	return checked(m.server.Downgrade(ctx, r))
}

// snapshotChunk is the size of a snapshot's messages, and digestBytes that of the
// checksum that travels in a message of its own; both etcd's.
const (
	snapshotChunk = 32 << 10
	digestBytes   = 32
)

func (m *maintenance) Snapshot(_ *pb.SnapshotRequest, stream grpc.ServerStreamingServer[pb.SnapshotResponse]) error {
	if err := m.server.MaySnapshot(); err != nil {
		return toStatus(err)
	}
	file, size, version, err := m.snapshot.Snapshot(stream.Context())
	if err != nil {
		return toStatus(err)
	}
	defer file.Close()
	began, total := time.Now(), zap.Int64("total-bytes", size-digestBytes)
	what := []zap.Field{total, zap.String("size", humanize.Bytes(uint64(max(size-digestBytes, 0)))), zap.String("storage-version", version)}
	m.log.Info("sending database snapshot to client", what...)
	blob := make([]byte, snapshotChunk)
	for left := size; left > 0; {
		n := min(left, snapshotChunk)
		if image := left - digestBytes; image > 0 {
			n = min(image, snapshotChunk)
		}
		if left == digestBytes {
			m.log.Info("sending database sha256 checksum to client", total, zap.Int64("checksum-size", left))
		}
		if _, err := io.ReadFull(file, blob[:n]); err != nil {
			return toStatus(err)
		}
		left -= n
		if err := stream.SendMsg(snapshotPart(blob[:n], max(left-digestBytes, 0), version)); err != nil {
			return err
		}
	}
	m.log.Info("successfully sent database snapshot to client", append(what, zap.Duration("took", time.Since(began)))...)
	return nil
}

// snapshotPart is a SnapshotResponse with a copy of blob.
func snapshotPart(blob []byte, remaining int64, version string) *wire.Answer {
	const remainingTag, blobTag, versionTag = 2<<3 | 0, 3<<3 | 2, 4<<3 | 2
	a := new(wire.Answer)
	a.Reserve(len(blob) + len(version) + 64) // one piece
	a.Int(remainingTag, remaining)
	a.Message(blobTag, blob)
	if version != "" {
		a.Message(versionTag, []byte(version))
	}
	return a
}

// leases is the Lease service.
type leases struct {
	pb.UnimplementedLeaseServer
	server *server.Server
}

func (l *leases) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	a, err := l.server.LeaseGrant(ctx, r)
	return into(new(pb.LeaseGrantResponse), a, err)
}

func (l *leases) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	a, err := l.server.LeaseRevoke(ctx, r)
	return into(new(pb.LeaseRevokeResponse), a, err)
}

func (l *leases) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	return checked(l.server.LeaseTimeToLive(ctx, r))
}

func (l *leases) LeaseLeases(ctx context.Context, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	return checked(l.server.LeaseLeases(ctx))
}

// LeaseKeepAlive answers each request in order. An unknown lease is answered with
// TTL 0, and the stream goes on.
func (l *leases) LeaseKeepAlive(stream grpc.BidiStreamingServer[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		resp, err := l.server.LeaseKeepAlive(stream.Context(), r.ID)
		if err != nil {
			return toStatus(err)
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}
