package config

// backupRows are the settings of the archive, which etcd has not.
func backupRows() []setting {
	return []setting{
		{name: "backup-to", group: groupBackup,
			to: func(d *draft) value { return str(&d.Backup.Place) },
			help: "Keep an archive of checkpoints and of the log here, to restore any moment: a directory\n" +
				"of this member's own, or s3://BUCKET/PREFIX."},
		{name: "backup-interval", group: groupBackup, def: "10s",
			to:   func(d *draft) value { return duration(&d.Backup.Interval) },
			help: "How long a write waits at most for being archived."},
		{name: "backup-checkpoint-interval", group: groupBackup, def: "24h0m0s",
			to:   func(d *draft) value { return duration(&d.Backup.CheckpointEvery) },
			help: "How often to archive a checkpoint, from which a restore goes on with the log."},
		{name: "backup-retention", group: groupBackup, def: "0s",
			to:   func(d *draft) value { return duration(&d.Backup.Retention) },
			help: "How far back it must be possible to go (0 for ever)."},
		{name: "backup-bandwidth", group: groupBackup, def: "0",
			to:   func(d *draft) value { return signed(&d.Backup.BytesPerSecond) },
			help: "Most bytes a second that are sent to the archive (0 for no limit)."},
	}
}
