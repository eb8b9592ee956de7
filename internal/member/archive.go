package member

import (
	"context"
	"sync/atomic"

	"bowline/internal/archive"
	"bowline/internal/fsm"
	"bowline/internal/lease"

	"go.etcd.io/raft/v3/raftpb"
)

// archived is the member as its archiver sees it.
type archived struct{ m *Member }

func (a archived) At() (fsm.Position, int64)             { return a.m.fsm.At() }
func (a archived) HoldLog(index uint64) (release func()) { return a.m.node.HoldLog(index) }
func (a archived) Export() *fsm.Export                   { return a.m.fsm.Export() }

func (a archived) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	return a.m.wal.Entries(lo, hi, maxBytes)
}

func (a archived) LogBytes() int64 {
	n, _ := a.m.wal.Size()
	return n
}

// startArchive begins to archive, before anything of the log is let go, if that is asked for.
func (m *Member) startArchive(ctx context.Context) error {
	c := &m.cfg.Backup
	if c.Place == "" {
		return nil
	}
	store, err := archive.Open(c.Place)
	if err != nil {
		return err
	}
	m.archiver = archive.New(archive.Config{
		Store: store, Source: archived{m}, TempDir: m.dir.member,
		Identity: archive.Identity{ClusterID: m.id.clusterID, MemberID: m.id.memberID, MinLeaseTTL: lease.MinTTL(m.cfg.electionTimeout())},
		Interval: c.Interval, CheckpointEvery: c.CheckpointEvery, Retention: c.Retention, BytesPerSecond: c.BytesPerSecond,
		Logger: m.log.Named("archive"),
	})
	m.goRun(func() { m.archiver.Run(ctx) })
	return nil
}

// archived reads one of the archiver's figures, 0 if there is none.
func (s *sight) archived(of func(*archive.Stats) *atomic.Int64) float64 {
	if s.archiver == nil {
		return 0
	}
	return float64(of(s.archiver.Stats()).Load())
}
