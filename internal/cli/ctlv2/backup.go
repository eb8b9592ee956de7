package ctlv2

import (
	"fmt"
	"time"

	"bowline/internal/exchange"
)

// lockTimeout is how long a member that is just stopping is waited for.
const lockTimeout = time.Second

func backupCommand() command {
	return command{name: "backup", usage: "copy the data directory of a member that is stopped", run: backup, options: []option{
		opt("data-dir", textOption, "", "the directory to be copied"),
		opt("wal-dir", textOption, "", "where its log is, if not in it"),
		opt("backup-dir", textOption, "", "where the copy goes"),
		opt("backup-wal-dir", textOption, "", "where the copy's log goes, if not into it"),
		opt("with-v3", flagOption, "", "accepted: keys of API v3 are always copied"),
	}}
}

// backup copies a data directory.
func backup(s *session, _ []string) error {
	b := exchange.Backup{
		DataDir: s.options.text("data-dir"), LogDir: s.options.text("wal-dir"),
		BackupDir: s.options.text("backup-dir"), BackupLogDir: s.options.text("backup-wal-dir"),
		Timeout: lockTimeout,
	}
	if b.DataDir == "" || b.BackupDir == "" {
		return bareText("backup needs --data-dir and --backup-dir")
	}
	if err := b.Run(s.ctx); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Err, "the data directory %s was copied to %s; start it with --force-new-cluster\n", b.DataDir, b.BackupDir)
	return nil
}
