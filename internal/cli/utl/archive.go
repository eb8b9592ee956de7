package utl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"bowline/internal/archive"
	"bowline/internal/cli"
	"bowline/internal/cluster"
	"bowline/internal/exchange"
)

// restoreMoment is the command restore.
type restoreMoment struct {
	Restore
	from, time string
	revision   int64
}

func newRestoreMoment(env *Env) *cobra.Command {
	o := &restoreMoment{}
	cmd := &cobra.Command{
		Use:   "restore --from <archive> [--to-revision <n> | --to-time <time>] --data-dir <output dir>",
		Short: "Makes the data directory of a new cluster's member of an archive, as of any moment",
		Long: `Makes the data directory of a new cluster's member of an archive that etcd --backup-to keeps, as of any moment: that at which a
revision came to be, that of a time, or else the newest.

The time is one like 2006-01-02T15:04:05Z, or how long ago, like 90m.`,
		Args: cobra.NoArgs,
		RunE: action(func(ctx context.Context, _ []string) error { return o.run(ctx, env) }),
	}
	fs := cmd.Flags()
	fs.StringVar(&o.from, "from", "", "directory of the archive, or s3://BUCKET/PREFIX")
	fs.Int64Var(&o.revision, "to-revision", 0, "revision of the state to restore")
	fs.StringVar(&o.time, "to-time", "", "time of the state to restore")
	o.addTarget(fs)
	require(cmd, "from")
	cmd.MarkFlagsMutuallyExclusive("to-revision", "to-time")
	return cmd
}

func (o *restoreMoment) target(now time.Time) (t archive.Target, err error) {
	if o.revision < 0 {
		return t, cli.BadArgs("--to-revision must not be negative")
	}
	t.Revision = o.revision
	if o.time == "" {
		return t, nil
	}
	if ago, err := time.ParseDuration(o.time); err == nil {
		t.Time = now.Add(-ago)
		return t, nil
	}
	if t.Time, err = time.Parse(time.RFC3339Nano, o.time); err != nil {
		return t, cli.BadArgs("--to-time: %q is no time like 2006-01-02T15:04:05Z, and no duration", o.time)
	}
	return t, nil
}

func (o *restoreMoment) run(ctx context.Context, env *Env) error {
	target, err := o.target(time.Now())
	if err != nil {
		return err
	}
	store, err := archive.Open(o.from)
	if err != nil {
		return err
	}
	first, err := o.initial(ctx)
	if err != nil {
		return err
	}
	log := newLogger(env.Err)
	bar := newProgress(env.Err)
	defer bar.finish()
	options := exchange.RestoreOptions{
		DataDir: o.dir(), LogDir: o.walDir, Name: o.name, Members: first, Progress: bar.tell,
		Logger: log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)),
	}
	log.Info("restoring from an archive", zap.Stringer("archive", store), zap.String("data-dir", options.DataDir))
	r, err := archive.Restore(ctx, store, target, options)
	bar.finish()
	if err != nil {
		return err
	}
	log.Info("restored from an archive", zap.String("data-dir", options.DataDir), zap.Int64("revision", r.Revision), zap.Int64("keys", r.Keys),
		zap.Time("as-of", r.Moment.Time), zap.String("checkpoint", r.Checkpoint), zap.Int("pieces-of-log", r.Pieces))
	return nil
}

func newBackup(env *Env) *cobra.Command {
	b := exchange.Backup{}
	group := &cobra.Command{
		Use:   "backup",
		Short: "Copies the data directory of a stopped member; verifies archives",
		Long: `Copies the data directory of a stopped member, with the keys of both APIs. Start the copy with --force-new-cluster, and not
beside the original: it has the same identity.`,
		Args: cobra.NoArgs,
		RunE: action(func(ctx context.Context, _ []string) error {
			b.Timeout = env.timeout
			if err := b.Run(ctx); err != nil {
				return err
			}
			newLogger(env.Err).Info("copied a data directory; start it with --force-new-cluster", zap.String("data-dir", b.DataDir), zap.String("backup-dir", b.BackupDir))
			return nil
		}),
	}
	fs := group.Flags()
	fs.StringVar(&b.DataDir, "data-dir", "", "data directory of a stopped member")
	fs.StringVar(&b.LogDir, "wal-dir", "", "where its log is, if not in it")
	fs.StringVar(&b.BackupDir, "backup-dir", "", "where the copy goes")
	fs.StringVar(&b.BackupLogDir, "backup-wal-dir", "", "where the copy's log goes, if not into it")
	fs.Bool("with-v3", true, "without effect: the keys of API v3 are always copied")
	require(group, "data-dir", "backup-dir")
	group.AddCommand(&cobra.Command{
		Use:   "verify <archive>",
		Short: "Proves that an archive can be restored, by doing so",
		Long: `Proves that an archive can be restored: restores all that is in it to a temporary directory.

It prints from when to when without a gap there is everything, and exits with 1 if anything is damaged.`,
		Args: cobra.ExactArgs(1),
		RunE: action(func(ctx context.Context, args []string) error { return verifyArchive(ctx, env, args[0]) }),
	})
	return group
}

func verifyArchive(ctx context.Context, env *Env, place string) error {
	p, err := env.printer()
	if err != nil {
		return err
	}
	store, err := archive.Open(place)
	if err != nil {
		return err
	}
	bar := newProgress(env.Err)
	defer bar.finish()
	c := cluster.Initial{Members: map[string][]string{"verify": {"http://localhost:2380"}}}
	v, err := archive.Verify(ctx, store, exchange.RestoreOptions{Name: "verify", Members: c.First(), Progress: bar.tell, Logger: zap.NewNop()})
	bar.finish()
	if err != nil {
		return err
	}
	return p.Print(verifiedResult(&v))
}

func verifiedResult(v *archive.Verified) cli.Result {
	rows := make([][]string, len(v.Spans))
	for i, s := range v.Spans {
		rows[i] = []string{fmt.Sprint(s.From.Revision), s.From.Time.Format(time.RFC3339), fmt.Sprint(s.To.Revision), s.To.Time.Format(time.RFC3339)}
	}
	return cli.Result{
		Simple: func(w *cli.TextWriter) {
			w.Linef("archive of member %x of cluster %x: %d pieces, all sound", v.Identity.MemberID, v.Identity.ClusterID, v.Pieces)
			for _, row := range rows {
				w.Linef("restorable: %s", strings.Join([]string{"revision", row[0], "of", row[1], "to revision", row[2], "of", row[3]}, " "))
			}
		},
		JSON:  v,
		Table: &cli.Table{Header: []string{"from revision", "from time", "to revision", "to time"}, Rows: rows},
	}
}
