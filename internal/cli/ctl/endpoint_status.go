package ctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// endpointStatus is the command endpoint status.
type endpointStatus struct {
	*endpointSet
}

// memberStatus is one endpoint's answer, and its JSON form.
type memberStatus struct {
	Endpoint string
	Status   *pb.StatusResponse
}

func (o *endpointStatus) run(ctx context.Context, env *Env, _ []string) error {
	s, err := env.prepare(ctx)
	if err != nil {
		return err
	}
	var statuses []memberStatus
	failed, err := o.each(ctx, s, "status", func(ctx context.Context, c *clientv3.Client, ep string) error {
		resp, err := c.Status(ctx, ep)
		if err == nil {
			statuses = append(statuses, memberStatus{ep, (*pb.StatusResponse)(resp)})
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.Print(statusResult(statuses)); err != nil {
		return err
	}
	if failed != nil {
		return cli.Exit(cli.ExitFailure, nil) // each endpoint has told its own
	}
	return nil
}

func statusResult(statuses []memberStatus) cli.Result {
	table := &cli.Table{Header: []string{
		"endpoint", "ID", "version", "storage version", "db size", "in use", "percentage not in use", "quota",
		"is leader", "is learner", "raft term", "raft index", "raft applied index", "errors",
		"downgrade target version", "downgrade enabled",
	}}
	for _, s := range statuses {
		table.Rows = append(table.Rows, s.row())
	}
	return cli.Result{
		Table:  table,
		JSON:   statuses,
		Simple: simpleRows(table),
		Fields: func(w *cli.FieldWriter) {
			for _, s := range statuses {
				s.writeFields(w)
			}
		},
	}
}

func (s memberStatus) row() []string {
	st := s.Status
	return []string{
		s.Endpoint,
		hexID(st.GetHeader().GetMemberId()),
		st.GetVersion(),
		st.GetStorageVersion(),
		humanize.Bytes(uint64(st.GetDbSize())),
		humanize.Bytes(uint64(st.GetDbSizeInUse())),
		fmt.Sprintf("%d%%", percentFree(st.GetDbSize(), st.GetDbSizeInUse())),
		humanize.Bytes(uint64(st.GetDbSizeQuota())),
		fmt.Sprint(st.GetLeader() == st.GetHeader().GetMemberId()),
		fmt.Sprint(st.GetIsLearner()),
		fmt.Sprint(st.GetRaftTerm()),
		fmt.Sprint(st.GetRaftIndex()),
		fmt.Sprint(st.GetRaftAppliedIndex()),
		strings.Join(st.GetErrors(), ", "),
		st.GetDowngradeInfo().GetTargetVersion(),
		fmt.Sprint(st.GetDowngradeInfo().GetEnabled()),
	}
}

// percentFree is the part of the database that is not in use.
func percentFree(size, inUse int64) int64 {
	if size == 0 {
		return 0
	}
	return 100 - inUse*100/size
}

func (s memberStatus) writeFields(w *cli.FieldWriter) {
	st := s.Status
	writeHeader(w, st.GetHeader())
	w.Quoted("Version", st.GetVersion())
	w.Quoted("StorageVersion", st.GetStorageVersion())
	w.Value("DBSize", st.GetDbSize())
	w.Value("DBSizeInUse", st.GetDbSizeInUse())
	w.Value("DBSizeQuota", st.GetDbSizeQuota())
	w.Value("Leader", st.GetLeader())
	w.Value("IsLearner", st.GetIsLearner())
	w.Value("RaftIndex", st.GetRaftIndex())
	w.Value("RaftTerm", st.GetRaftTerm())
	w.Value("RaftAppliedIndex", st.GetRaftAppliedIndex())
	w.Value("Errors", st.GetErrors())
	w.Quoted("Endpoint", s.Endpoint)
	w.Quoted("DowngradeTargetVersion", st.GetDowngradeInfo().GetTargetVersion())
	w.Value("DowngradeEnabled", st.GetDowngradeInfo().GetEnabled())
	w.Blank()
}
