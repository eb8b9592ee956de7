package utl

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"bowline/internal/cli"
	"bowline/internal/engine"
	"bowline/internal/exchange"
)

// The versions of etcd's files that can be asked for.
const (
	targetMajor    = 3
	oldestTarget   = 5
	newestTarget   = 7
	shownTargetMin = "3.5"
)

func newMigrate(env *Env) *cobra.Command {
	var dataDir, target string
	var force bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Makes a stopped member's files fit for another version",
		Long: `Makes a stopped member's files fit for another version.

Bowline's own directories have one form for all versions of the API: for them there is nothing to do.`,
		RunE: action(func(context.Context, []string) error { return migrate(env, dataDir, target) }),
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "data directory of a stopped member")
	cmd.Flags().StringVar(&target, "target-version", "", `version of etcd, "X.Y", from 3.5 on`)
	cmd.Flags().BoolVar(&force, "force", false, "without effect for Bowline's directories")
	require(cmd, "data-dir", "target-version")
	return cmd
}

func migrate(env *Env, dataDir, target string) error {
	parts := strings.Split(target, ".")
	if len(parts) != 2 {
		return cli.BadArgs(`wrong target version format, expected "X.Y", got %q`, target)
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return cli.BadArgs("failed to parse target version: %w", err)
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return cli.BadArgs("failed to parse target version: %w", err)
	}
	if major < targetMajor || major == targetMajor && minor < oldestTarget {
		return cli.BadArgs("target version %q not supported. Minimal %q", target, shownTargetMin)
	}
	if major > targetMajor || minor > newestTarget {
		return cli.BadArgs("target version %q not supported. Maximal \"%d.%d\"", target, targetMajor, newestTarget)
	}
	name := filepath.Join(dataDir, engine.MemberDir, engine.SignpostFile)
	if !exchange.IsOurs(name) {
		if _, err := os.Stat(name); err != nil {
			return err
		}
		return fmt.Errorf("%s is a database of etcd, whose own etcdutl changes its version; a member of Bowline starts on it as it is", name)
	}
	newLogger(env.Err).Info("storage version up-to-date: one form of the directory serves all versions",
		zap.String("storage-version", target), zap.String("data-dir", dataDir))
	return nil
}
