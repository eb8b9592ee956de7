package ctl

import (
	"context"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func newAlarm(env *Env) *cobra.Command {
	return newGroup("alarm", "Alarm related commands",
		&cobra.Command{Use: "disarm", Short: "Disarms all alarms", RunE: env.action(alarmDisarm{})},
		&cobra.Command{Use: "list", Short: "Lists all alarms", RunE: env.action(alarmList{})},
	)
}

// alarmList is the command alarm list.
type alarmList struct{}

func (alarmList) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 0 {
		return cli.BadArgs("alarm list command accepts no arguments")
	}
	return runAlarm(ctx, env, func(ctx context.Context, c *clientv3.Client) (*clientv3.AlarmResponse, error) {
		return c.AlarmList(ctx)
	})
}

// alarmDisarm is the command alarm disarm.
type alarmDisarm struct{}

func (alarmDisarm) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 0 {
		return cli.BadArgs("alarm disarm command accepts no arguments")
	}
	return runAlarm(ctx, env, func(ctx context.Context, c *clientv3.Client) (*clientv3.AlarmResponse, error) {
		return c.AlarmDisarm(ctx, &clientv3.AlarmMember{}) // no member: all alarms
	})
}

func runAlarm(ctx context.Context, env *Env, call func(context.Context, *clientv3.Client) (*clientv3.AlarmResponse, error)) error {
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := call(ctx, s.Client)
	if err != nil {
		return err
	}
	return s.Print(alarmResult((*pb.AlarmResponse)(resp)))
}

func alarmResult(resp *pb.AlarmResponse) cli.Result {
	return cli.Result{
		JSON:  resp,
		Proto: resp,
		Simple: func(w *cli.TextWriter) {
			for _, a := range resp.GetAlarms() {
				w.Linef("memberID:%d alarm:%s", a.MemberID, a.Alarm)
			}
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.GetHeader())
			for _, a := range resp.GetAlarms() {
				w.ID("MemberID", a.MemberID)
				w.Value("AlarmType", a.Alarm)
				w.Blank()
			}
		},
	}
}
