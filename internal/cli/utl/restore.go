package utl

import (
	"context"
	"errors"
	"math"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"bowline/internal/cli"
	"bowline/internal/cluster"
	"bowline/internal/config"
	"bowline/internal/engine"
	"bowline/internal/exchange"
)

// Restore is the command snapshot restore of both tools.
type Restore struct {
	dataDir, walDir                string
	name, cluster, token, peerURLs string
	skipHash, markCompacted        bool
	bump, memoryMap                uint64
}

// AddFlags declares the command's flags.
func (o *Restore) AddFlags(fs *pflag.FlagSet) {
	o.addTarget(fs)
	fs.BoolVar(&o.skipHash, "skip-hash-check", false, "take a file whose checksum is wrong, or that has none because it is from a data directory")
	fs.Uint64Var(&o.bump, "bump-revision", 0, "raise the revision by so much, so that it never goes back for clients")
	fs.BoolVar(&o.markCompacted, "mark-compacted", false, "mark all before the raised revision as compacted (goes with --bump-revision)")
	fs.Uint64Var(&o.memoryMap, "initial-memory-map-size", 10<<30, "without effect: nothing is mapped into memory")
}

// addTarget declares the flags that say what is made.
func (o *Restore) addTarget(fs *pflag.FlagSet) {
	fs.StringVar(&o.dataDir, "data-dir", "", "data directory to make (default: NAME.etcd)")
	fs.StringVar(&o.walDir, "wal-dir", "", "directory for the log, which must not exist (default: below the data directory)")
	fs.StringVar(&o.name, "name", "default", "name of the member that the directory is for")
	fs.StringVar(&o.cluster, "initial-cluster", "default=http://localhost:2380", "all members of the new cluster, with their peer URLs")
	fs.StringVar(&o.token, "initial-cluster-token", "etcd-cluster", "token of the new cluster, the same for all members")
	fs.StringVar(&o.peerURLs, "initial-advertise-peer-urls", "http://localhost:2380", "peer URLs of this member, as in --initial-cluster")
}

// RestoreUse is how the command is called.
const RestoreUse = "restore <filename> --data-dir {output dir} [options]"

func newRestore(env *Env) *cobra.Command {
	o := &Restore{}
	cmd := &cobra.Command{
		Use:   RestoreUse,
		Short: "Makes the data directory of a new cluster's member of a snapshot",
		RunE:  action(func(ctx context.Context, args []string) error { return o.Run(ctx, env, args) }),
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// Run restores a snapshot. The checks come in etcd's order.
func (o *Restore) Run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("snapshot restore requires exactly one argument")
	}
	if (o.bump > 0) != o.markCompacted {
		return cli.BadArgs("--mark-compacted required if --revision-bump > 0")
	}
	if o.bump > math.MaxInt64/2 {
		return errors.New("--bump-revision is too large")
	}
	first, err := o.initial(ctx)
	if err != nil {
		return err
	}
	dataDir := o.dir()
	log := newLogger(env.Err)
	bar := newProgress(env.Err)
	defer bar.finish()
	options := exchange.RestoreOptions{
		Source: args[0], SkipDigest: o.skipHash, DataDir: dataDir, LogDir: o.walDir, Name: o.name, Members: first,
		Bump: int64(o.bump), Timeout: env.timeout, Progress: bar.tell, Logger: log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)),
	}
	if err := options.CheckTarget(); err != nil {
		return err
	}
	shownWAL := o.walDir
	if shownWAL == "" {
		shownWAL = filepath.Join(dataDir, engine.MemberDir, engine.LogDirName)
	}
	fields := []zap.Field{zap.String("path", args[0]), zap.String("wal-dir", shownWAL), zap.String("data-dir", dataDir)}
	log.Info("restoring snapshot", fields...)
	r, err := exchange.Restore(ctx, options)
	bar.finish()
	if err != nil {
		return err
	}
	log.Info("restored snapshot", append(fields, zap.Int64("revision", r.Revision), zap.Int64("keys", r.Keys))...)
	return nil
}

// dir is the directory to make.
func (o *Restore) dir() string {
	if o.dataDir == "" {
		return o.name + ".etcd"
	}
	return o.dataDir
}

// initial reads and checks the new cluster.
func (o *Restore) initial(ctx context.Context) ([]cluster.Member, error) {
	advertised, err := config.ParseURLs(o.peerURLs)
	if err != nil {
		return nil, err
	}
	named, err := config.Bootstrap{Cluster: o.cluster}.InitialMembers()
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause // it is told without what the server says before it
		}
		return nil, err
	}
	c := cluster.Initial{Name: o.name, Token: o.token, Members: make(map[string][]string), Advertised: advertised}
	for _, m := range named {
		for i := range m.URLs {
			c.Members[m.Name] = append(c.Members[m.Name], m.URLs[i].String())
		}
	}
	if err := c.Check(ctx); err != nil {
		return nil, err
	}
	return c.First(), nil
}
