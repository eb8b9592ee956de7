package ctl

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// migration is what both directions of the command migrate have in common.
type migration struct {
	prefix, to string
	toGiven    bool
	dryRun     bool
	overwrite  bool
	endpoints  []string // of API v2
	user       string   // of API v2

	env     *Env
	session *session
	old     *oldKeys
	bar     progress

	mu   sync.Mutex // guards done
	done migrated
}

// migrated is what a migration has done, or would do.
type migrated struct {
	Keys        int64 `json:"keys"`
	Leases      int64 `json:"leases"`
	Overwritten int64 `json:"overwritten"`
	There       int64 `json:"alreadyThere"`
	EmptyDirs   int64 `json:"emptyDirectories"`
	Expired     int64 `json:"expired"`
	LeftOut     int64 `json:"leftOut"`
	DryRun      bool  `json:"dryRun,omitempty"`
}

func newMigrate(env *Env) *cobra.Command {
	return newGroup("migrate <subcommand>", "Copies keys between API v2 and API v3", newMigrateUp(env), newMigrateDown(env))
}

// addFlags adds the flags of both directions.
func (m *migration) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&m.to, "to", "", "what takes the place of --prefix in the copies (default: nothing does, they keep it)")
	fs.BoolVar(&m.dryRun, "dry-run", false, "write nothing, and tell what would be done")
	fs.BoolVar(&m.overwrite, "overwrite", false, "replace keys that are there with another value")
	fs.StringSliceVar(&m.endpoints, "v2-endpoints", nil, "where API v2 is asked (default: --endpoints)")
	fs.StringVar(&m.user, "v2-user", "", "user of API v2, name[:password]; without a password it is asked for")
	cmd.PreRun = func(cmd *cobra.Command, _ []string) { m.toGiven = cmd.Flags().Changed("to") }
}

// begin connects to both APIs.
func (m *migration) begin(ctx context.Context, env *Env, args []string) error {
	if len(args) > 0 {
		return cli.BadArgs("migrate takes no arguments, only flags")
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	m.env, m.session, m.done.DryRun = env, s, m.dryRun
	if !m.toGiven {
		m.to = m.prefix
	}
	if len(m.endpoints) == 0 {
		m.endpoints = s.cfg.Endpoints
	}
	m.old = newOldKeys(m.endpoints, s.cfg.TLS)
	if m.user != "" {
		m.old.user, m.old.password, err = env.credentials(m.user, "", "Password of API v2: ")
		if err != nil {
			s.Close()
			return err
		}
	}
	m.bar = env.newProgress(false)
	return nil
}

// end closes what begin has opened, and tells what was done, also after an error.
func (m *migration) end(failure error) error {
	m.bar.finish()
	defer m.session.Close()
	defer m.old.http.CloseIdleConnections()
	if err := m.session.Print(m.done.result()); err != nil && failure == nil {
		return err
	}
	return failure
}

// count changes what was done.
func (m *migration) count(change func(*migrated)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.done)
	n := m.done.Keys + m.done.There
	m.bar.set(n, n)
}

// say writes a line about a key that needs a look.
func (m *migration) say(format string, args ...any) { fmt.Fprintf(m.env.Err, format+"\n", args...) }

func (d migrated) result() cli.Result {
	verb := "copied"
	if d.DryRun {
		verb = "would copy"
	}
	text := fmt.Sprintf("%s %d keys, with %d leases", verb, d.Keys, d.Leases)
	for _, part := range []struct {
		n    int64
		what string
	}{
		{d.Overwritten, "of them in the place of another value"},
		{d.There, "were there already"},
		{d.EmptyDirs, "empty directories, which are not keys"},
		{d.Expired, "expired meanwhile"},
		{d.LeftOut, "left out"},
	} {
		if part.n > 0 {
			text += fmt.Sprintf("; %d %s", part.n, part.what)
		}
	}
	r := cli.Text("%s", text)
	r.JSON = d
	return r
}

// errThere refuses to replace a key.
func errThere(key string) error {
	return fmt.Errorf("%q is there already, with another value or lease; --overwrite replaces it", key)
}

// maxLeases bounds how many leases are remembered; beyond that a second may get another.
const maxLeases = 1 << 16

// leases are those that stand for the seconds in which keys of API v2 expire.
type leases struct {
	client   *clientv3.Client
	bySecond map[int64]clientv3.LeaseID
}

// at returns the lease for what expires at a time, and whether it is new. A dry run grants
// none.
func (l *leases) at(ctx context.Context, expires time.Time, dryRun bool) (id clientv3.LeaseID, isNew bool, err error) {
	second := expires.Unix()
	if expires.Nanosecond() > 0 {
		second++
	}
	if id, ok := l.bySecond[second]; ok {
		return id, false, nil
	}
	if !dryRun {
		granted, err := l.client.Grant(ctx, secondsUntil(time.Unix(second, 0)))
		if err != nil {
			return 0, false, err
		}
		id = granted.ID
	}
	if len(l.bySecond) >= maxLeases {
		clear(l.bySecond)
	}
	l.bySecond[second] = id
	return id, true, nil
}

// secondsUntil is rounded up, and at least 1.
func secondsUntil(at time.Time) int64 {
	return max(1, int64((time.Until(at)+time.Second-1)/time.Second))
}

// directory is a prefix without a slash at its end, but for the root's.
func directory(prefix string) string { return "/" + strings.Trim(prefix, "/") }
