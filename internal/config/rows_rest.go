package config

func observationRows() []setting {
	return []setting{
		{name: "enable-pprof", group: groupProfiling, def: "false",
			to:   func(d *draft) value { return boolean(&d.Metrics.Pprof) },
			help: "Serve profiles under /debug/pprof/ on the client URLs."},
		{name: "metrics", group: groupProfiling, def: "basic",
			to:   func(d *draft) value { return str(&d.metricsLevel) },
			help: "basic, or extensive to add the histogram of the durations of requests."},
		{name: "listen-metrics-urls", group: groupProfiling,
			to:   func(d *draft) value { return urls{&d.Listen.Metrics, "listen-metrics-urls"} },
			help: "More URLs to serve metrics and health at, with the certificate for clients where it is https."},

		{name: "logger", group: groupLogging, def: "zap",
			to:   func(d *draft) value { return str(&d.logger) },
			help: "Only zap."},
		{name: "log-outputs", group: groupLogging, def: "default",
			to:   func(d *draft) value { return list{to: &d.Log.Outputs, unique: true} },
			help: "Where to log: stdout, stderr, systemd/journal or files, with commas between them. default is stderr."},
		{name: "log-level", group: groupLogging, def: "info",
			to:   func(d *draft) value { return str(&d.Log.Level) },
			help: "debug, info, warn, error, dpanic, panic or fatal."},
		{name: "log-format", group: groupLogging, def: "json",
			to:   func(d *draft) value { return str(&d.Log.Format) },
			help: "json or console."},
		{name: "enable-log-rotation", group: groupLogging, def: "false",
			to:   func(d *draft) value { return boolean(&d.rotate) },
			help: "Rotate the log. --log-outputs names exactly one file then."},
		{name: "log-rotation-config-json", group: groupLogging,
			def: `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}`,
			to:  func(d *draft) value { return str(&d.rotation) },
			help: "When to rotate: maxsize in MB; what to keep: maxage in days, maxbackups files (0 for all);\n" +
				"localtime for names by local time, compress to compress."},
		{name: "warning-unary-request-duration", group: groupLogging, def: "300ms",
			to:     func(d *draft) value { return duration(&d.Warn.Unary) },
			former: []string{"experimental-warning-unary-request-duration"},
			help:   "Log unary requests that take longer than this."},
		{name: "warning-apply-duration", group: groupLogging, def: "100ms",
			to:     func(d *draft) value { return duration(&d.Warn.Apply) },
			former: []string{"experimental-warning-apply-duration"},
			help:   "Log requests whose application takes longer than this."},

		{name: "enable-distributed-tracing", group: groupTracing, def: "false",
			to:     func(d *draft) value { return boolean(&d.Tracing.Enabled) },
			former: []string{"experimental-enable-distributed-tracing"},
			help:   "Send spans to a collector."},
		{name: "distributed-tracing-address", group: groupTracing, def: "localhost:4317",
			to:     func(d *draft) value { return str(&d.Tracing.Address) },
			former: []string{"experimental-distributed-tracing-address"},
			help:   "Address of the collector."},
		{name: "distributed-tracing-service-name", group: groupTracing, def: "etcd",
			to:     func(d *draft) value { return str(&d.Tracing.ServiceName) },
			former: []string{"experimental-distributed-tracing-service-name"},
			help:   "Name of the service in spans, the same on all members."},
		{name: "distributed-tracing-instance-id", group: groupTracing,
			to:     func(d *draft) value { return str(&d.Tracing.InstanceID) },
			former: []string{"experimental-distributed-tracing-instance-id"},
			help:   "ID of this member in spans, another one on each."},
		{name: "distributed-tracing-sampling-rate", group: groupTracing, def: "0",
			to:     func(d *draft) value { return signed(&d.Tracing.PerMillion) },
			former: []string{"experimental-distributed-tracing-sampling-rate"},
			help:   "How many spans of a million are sent."},
	}
}

func featureRows() []setting {
	return []setting{
		{name: "enable-v2", group: groupFeatures, def: "false",
			to:   func(d *draft) value { return boolean(&d.V2.Enabled) },
			help: "Serve API v2 under /v2/ on the client URLs."},
		{name: "corrupt-check-time", group: groupFeatures, def: "5m0s",
			to:     func(d *draft) value { return duration(&d.Checks.Corruption) },
			former: []string{"experimental-corrupt-check-time"},
			help:   "How often the leader compares its data with the other members' (0 for never)."},
		{name: "compact-hash-check-time", group: groupFeatures, def: "1m0s",
			to:     func(d *draft) value { return duration(&d.Checks.CompactHash) },
			former: []string{"experimental-compact-hash-check-time"},
			help:   "How often the leader compares hashes of compactions (0 for never)."},
		{name: "compaction-batch-limit", group: groupFeatures, def: "0",
			to:     func(d *draft) value { return signed(&d.Compaction.BatchLimit) },
			former: []string{"experimental-compaction-batch-limit"},
			help:   "Revisions that a compaction looks at in one step (0 for the store's choice)."},
		{name: "compaction-sleep-interval", group: groupFeatures, def: "0s",
			to:     func(d *draft) value { return duration(&d.Compaction.SleepInterval) },
			former: []string{"experimental-compaction-sleep-interval"},
			help:   "Pause between two such steps (0 for the store's choice)."},
		{name: "watch-progress-notify-interval", group: groupFeatures, def: "0s",
			to:     func(d *draft) value { return duration(&d.Watch.ProgressInterval) },
			former: []string{"experimental-watch-progress-notify-interval"},
			help:   "How often quiet watches are told of progress that asked for it. 10m if it is 0; at least 100ms."},
		{name: "downgrade-check-time", group: groupFeatures, def: "5s",
			to:     func(d *draft) value { return duration(&d.Checks.Downgrade) },
			former: []string{"experimental-downgrade-check-time"},
			help:   "How often to look whether a downgrade is complete (0 for never).", idle: "a downgrade is completed by a leader of the lower version"},
		{name: "max-learners", group: groupFeatures, def: "1",
			to:     func(d *draft) value { return signed(&d.Raft.MaxLearners) },
			former: []string{"experimental-max-learners"},
			help:   "Most learners in the cluster."},
		{name: "bootstrap-defrag-threshold-megabytes", group: groupFeatures, def: "0",
			to:     func(d *draft) value { return unsigned(&d.defragThreshold) },
			former: []string{"experimental-bootstrap-defrag-threshold-megabytes"},
			help:   "Defragment at start if this much would be gained (0 for never).",
			idle:   "the store reclaims space while it serves"},
	}
}

// formerRows are flags of older versions that have become feature gates, or nothing.
func formerRows() []setting {
	var rows []setting
	for _, f := range [][2]string{
		{"experimental-initial-corrupt-check", "InitialCorruptCheck"},
		{"experimental-compact-hash-check-enabled", "CompactHashCheck"},
		{"experimental-enable-lease-checkpoint", "LeaseCheckpoint"},
		{"experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist"},
		{"experimental-set-member-localaddr", "SetMemberLocalAddr"},
		{"experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag"},
		{"experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer"},
	} {
		name := f[1]
		rows = append(rows, setting{name: f[0], group: groupFormer, gate: name,
			to:   func(d *draft) value { return oneGate{&d.gates, name} },
			help: "Now the feature gate " + name + "."})
	}
	return append(rows, setting{name: "experimental-enable-v2v3", group: groupFormer,
		to:   func(d *draft) value { return str(&d.v2v3Prefix) },
		help: "Served API v2 from the keys of API v3 under a prefix.",
		idle: "API v2 keeps keys of its own"})
}

func unsafeRows() []setting {
	return []setting{
		{name: "force-new-cluster", group: groupUnsafe, def: "false",
			to:   func(d *draft) value { return boolean(&d.Unsafe.ForceNewCluster) },
			help: "Make a cluster of this member alone, with its data. What the others know is lost."},
		{name: "unsafe-no-fsync", group: groupUnsafe, def: "false",
			to:   func(d *draft) value { return boolean(&d.Unsafe.NoFsync) },
			help: "Do not wait for the disk. A crash loses data that was acknowledged."},
	}
}

// ignoredRows are accepted as booleans, as etcd does, and mean nothing.
func ignoredRows() []setting {
	var rows []setting
	for _, name := range []string{
		"cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force", "max-result-buffer",
		"max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout", "retry-interval", "snapshot", "v", "vv",
		"test.coverprofile", "test.outputdir",
	} {
		rows = append(rows, setting{name: name, group: groupIgnored, def: "false", file: notInFile,
			to: func(*draft) value { return boolean(new(bool)) }, idle: "it has had none for long"})
	}
	return rows
}
