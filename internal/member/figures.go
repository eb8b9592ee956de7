package member

import (
	"sync/atomic"

	"bowline/internal/archive"
	"bowline/internal/tally"
	"bowline/internal/v2"

	"github.com/prometheus/client_golang/prometheus"
)

// figure is a metric of one number.
type figure struct {
	name, help string
	kind       prometheus.ValueType
	read       func(*sight) float64
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// figures are the metrics of one number each, etcd's first: their names and types
// are etcd's, also where a type surprises. What is left out of etcd's stands, with
// the reason, in the table of metrics_test.go.
var figures = []figure{
	{"etcd_server_has_leader", "Whether this member knows a leader.", gauge,
		func(s *sight) float64 { return flag(s.status.Leader != 0) }},
	{"etcd_server_is_leader", "Whether this member leads.", gauge,
		func(s *sight) float64 { return flag(s.leads()) }},
	{"etcd_server_is_learner", "Whether this member has no vote.", gauge,
		func(s *sight) float64 { return flag(s.server.IsLearner()) }},
	{"etcd_server_leader_changes_seen_total", "Changes of leader that this member has seen.", counter,
		func(s *sight) float64 { return float64(s.server.LeaderChanges()) }},
	{"etcd_server_proposals_committed_total", "Index of the last entry that is committed.", gauge,
		func(s *sight) float64 { return float64(s.status.Commit) }},
	{"etcd_server_proposals_applied_total", "Index of the last entry that is applied.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Applied()) }},
	{"etcd_server_proposals_pending", "Proposals that wait for their result.", gauge,
		func(s *sight) float64 { return float64(s.server.Pending()) }},
	{"etcd_server_proposals_failed_total", "Proposals that ended without a result.", counter,
		func(s *sight) float64 { return float64(s.server.Failed()) }},
	{"etcd_server_slow_apply_total", "Requests whose work took longer than --warning-apply-duration.", counter,
		func(s *sight) float64 { return float64(s.fsm.Stats().SlowApplies.Load() + s.rpc.SlowReads()) }},
	{"etcd_server_slow_read_indexes_total", "Linearizable reads that got no read index in time.", counter,
		func(s *sight) float64 { return float64(s.server.Stats().ReadIndexesSlow.Load()) }},
	{"etcd_server_read_indexes_failed_total", "Linearizable reads that found nobody to ask.", counter,
		func(s *sight) float64 { return float64(s.server.Stats().ReadIndexesFailed.Load()) }},
	{"etcd_server_learner_promote_successes", "Learners promoted through this member as leader.", counter,
		func(s *sight) float64 { return float64(s.server.Stats().Promotions.Load()) }},
	{"etcd_server_heartbeat_send_failures_total", "Times this leader's heartbeats were late.", counter,
		func(s *sight) float64 { return float64(s.node.LateHeartbeats()) }},
	{"etcd_server_quota_backend_bytes", "The quota, as it is shown to clients.", gauge,
		func(s *sight) float64 { return float64(s.server.Quota()) }},

	{"etcd_server_snapshot_apply_in_progress_total", "Received states that are being installed.", gauge,
		func(s *sight) float64 { return float64(s.states.Installing()) }},

	{"etcd_disk_defrag_inflight", "Defragmentations under way.", gauge,
		func(s *sight) float64 { return float64(s.server.Stats().Defragmenting.Load()) }},

	{"etcd_mvcc_db_total_size_in_bytes", "Space that the engine's files take, with what is yet to be flushed.", gauge,
		func(s *sight) float64 { return float64(s.size.Total) }},
	{"etcd_mvcc_db_total_size_in_use_in_bytes", "The part of it that holds current data.", gauge,
		func(s *sight) float64 { return float64(s.size.Live) }},
	{"etcd_mvcc_range_total", "Ranges read.", counter,
		func(s *sight) float64 { return float64(s.fsm.Store().Stats().Ranges.Load()) }},
	{"etcd_mvcc_put_total", "Puts applied.", counter,
		func(s *sight) float64 { return float64(s.fsm.Store().Stats().Puts.Load()) }},
	{"etcd_mvcc_delete_total", "Deletions applied.", counter,
		func(s *sight) float64 { return float64(s.fsm.Store().Stats().Deletes.Load()) }},
	{"etcd_mvcc_txn_total", "Transactions.", counter,
		func(s *sight) float64 { return float64(s.fsm.Store().Stats().Txns.Load()) }},

	{"etcd_debugging_mvcc_keys_total", "Keys that are there.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Store().Keys()) }},
	{"etcd_debugging_mvcc_current_revision", "The store's revision.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Store().Revision()) }},
	{"etcd_debugging_mvcc_compact_revision", "The revision compacted to, -1 if there was no compaction.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Store().Compacted()) }},
	{"etcd_debugging_mvcc_total_put_size_in_bytes", "Size of the keys and values put.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Store().Stats().PutBytes.Load()) }},
	{"etcd_debugging_mvcc_db_compaction_keys_total", "Versions that compactions have removed.", counter,
		func(s *sight) float64 { return float64(s.fsm.Store().Stats().CompactedKeys.Load()) }},
	{"etcd_debugging_mvcc_db_compaction_last", "When the last compaction was finished, in seconds since 1970.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Stats().CompactedAt.Load()) }},
	{"etcd_debugging_mvcc_watch_stream_total", "Streams of watches.", gauge,
		func(s *sight) float64 { return float64(s.watch.Streams) }},
	{"etcd_debugging_mvcc_watcher_total", "Watchers.", gauge,
		func(s *sight) float64 { return float64(s.watch.Watchers) }},
	{"etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind.", gauge,
		func(s *sight) float64 { return float64(s.watch.Slow) }},
	{"etcd_debugging_mvcc_events_total", "Events sent to watchers.", counter,
		func(s *sight) float64 { return float64(s.watch.Events) }},
	{"etcd_debugging_mvcc_pending_events_total", "Events that wait to be sent.", gauge,
		func(s *sight) float64 { return float64(s.watch.Pending) }},

	{"etcd_debugging_lease_granted_total", "Leases granted.", counter,
		func(s *sight) float64 { return float64(s.fsm.Stats().LeasesGranted.Load()) }},
	{"etcd_debugging_lease_revoked_total", "Leases revoked.", counter,
		func(s *sight) float64 { return float64(s.fsm.Stats().LeasesRevoked.Load()) }},
	{"etcd_debugging_lease_renewed_total", "Renewals of leases, seen by the leader.", counter,
		func(s *sight) float64 { return float64(s.server.Stats().LeasesRenewed.Load()) }},
	{"etcd_debugging_server_lease_expired_total", "Leases that were revoked because their time was over.", counter,
		func(s *sight) float64 { return float64(s.server.LeasesExpired()) }},
	{"etcd_debugging_auth_revision", "The revision of users and roles.", gauge,
		func(s *sight) float64 { return float64(s.fsm.AuthRevision()) }},

	{"bowline_archive_index", "Last entry that is archived, 0 without an archive.", gauge,
		func(s *sight) float64 { return s.archived(func(a *archive.Stats) *atomic.Int64 { return &a.Archived }) }},
	{"bowline_archive_until_seconds", "Time, in Unix seconds, up to which everything is archived.", gauge,
		func(s *sight) float64 { return s.archived(func(a *archive.Stats) *atomic.Int64 { return &a.Until }) }},
	{"bowline_archive_pieces_total", "Pieces that were archived.", counter,
		func(s *sight) float64 { return s.archived(func(a *archive.Stats) *atomic.Int64 { return &a.Pieces }) }},
	{"bowline_archive_bytes_total", "Bytes that were archived.", counter,
		func(s *sight) float64 { return s.archived(func(a *archive.Stats) *atomic.Int64 { return &a.Bytes }) }},
	{"bowline_archive_failures_total", "Failed attempts to archive.", counter,
		func(s *sight) float64 { return s.archived(func(a *archive.Stats) *atomic.Int64 { return &a.Failures }) }},
	{"bowline_engine_flushes_total", "Flushes of memtables to disk.", counter,
		func(s *sight) float64 { return float64(s.figures.Flushes) }},
	{"bowline_engine_compactions_total", "Rewrites of the engine's files.", counter,
		func(s *sight) float64 { return float64(s.figures.Compactions) }},
	{"bowline_engine_flushed_bytes_total", "Bytes of files that flushes have written.", counter,
		func(s *sight) float64 { return float64(s.figures.FlushedTableBytes) }},
	{"bowline_engine_compacted_bytes_total", "Bytes of files that rewrites have written.", counter,
		func(s *sight) float64 { return float64(s.figures.CompactedBytes) }},
	{"bowline_engine_compaction_debt_bytes", "Bytes that are to be rewritten before the engine is at rest.", gauge,
		func(s *sight) float64 { return float64(s.figures.CompactionDebtBytes) }},
	{"bowline_engine_unflushed_bytes", "Bytes committed and not flushed.", gauge,
		func(s *sight) float64 { return float64(s.figures.UnflushedBytes) }},
	{"bowline_engine_memtable_bytes", "Memory that memtables take.", gauge,
		func(s *sight) float64 { return float64(s.figures.MemTableBytes) }},
	{"bowline_engine_cache_bytes", "Bytes of blocks in the engine's cache.", gauge,
		func(s *sight) float64 { return float64(s.figures.CacheBytes) }},
	{"bowline_engine_cache_hits_total", "Blocks found in the engine's cache.", counter,
		func(s *sight) float64 { return float64(s.figures.CacheHits) }},
	{"bowline_engine_cache_misses_total", "Blocks read from files.", counter,
		func(s *sight) float64 { return float64(s.figures.CacheMisses) }},
	{"bowline_engine_read_amplification", "Files and levels that a read may have to look at.", gauge,
		func(s *sight) float64 { return float64(s.figures.ReadAmplification) }},
	{"bowline_engine_tables", "The engine's files.", gauge,
		func(s *sight) float64 { return float64(s.figures.Tables) }},
	{"etcd_mvcc_db_open_read_transactions", "Exports and snapshots that hold a former state.", gauge,
		func(s *sight) float64 { return float64(s.figures.OpenSnapshots) }},
	{"etcd_debugging_store_expires_total", "Keys of API v2 that have expired.", counter,
		func(s *sight) float64 { return float64(s.fsm.V2().Stats().Counts[v2.Expired]) }},
	{"etcd_debugging_store_watch_requests_total", "Watches that API v2 was asked for.", counter,
		func(s *sight) float64 { return float64(s.fsm.V2().Stats().Watches) }},
	{"etcd_debugging_store_watchers", "Watches of API v2 under way.", gauge,
		func(s *sight) float64 { return float64(s.fsm.V2().Stats().Watchers) }},
	{"bowline_disk_removed_bytes", "Bytes of removed files whose space is not free yet.", gauge,
		func(s *sight) float64 { return float64(s.disk.Waiting()) }},
	{"bowline_log_bytes", "Bytes of the log that are in use.", gauge,
		func(s *sight) float64 { n, _ := s.wal.Size(); return float64(n) }},
	{"bowline_log_stalls_total", "Writes of the log that took longer than an election timeout.", counter,
		func(s *sight) float64 { n, _ := s.node.DiskStalls(); return float64(n) }},
	{"bowline_log_stalled", "Whether such a write is under way.", gauge,
		func(s *sight) float64 { _, now := s.node.DiskStalls(); return flag(now) }},
	{"bowline_log_segments", "Files of the log.", gauge,
		func(s *sight) float64 { _, n := s.wal.Size(); return float64(n) }},
	{"bowline_log_unflushed_bytes", "Bytes of the log that would be applied again after a crash.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Unflushed()) }},
	{"bowline_watch_feed_bytes", "Bytes of the latest events, held for watchers.", gauge,
		func(s *sight) float64 { return float64(s.watch.FeedBytes) }},
	{"bowline_compaction_finished_revision", "The revision up to which old versions are removed, -1 if there was no compaction.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Store().CompactionFinished()) }},
	{"bowline_memory_used_bytes", "Memory in use, 0 if it is not watched.", gauge,
		func(s *sight) float64 { return float64(s.memory.Stats().Used) }},
	{"bowline_memory_watermark_bytes", "Memory in use from which expensive requests are refused, 0 for never.", gauge,
		func(s *sight) float64 { return float64(s.memory.Stats().Watermark) }},
	{"bowline_memory_short", "Whether expensive requests are refused.", gauge,
		func(s *sight) float64 { return flag(s.memory.Stats().Short) }},
	{"bowline_memory_refused_total", "Requests refused because memory was short.", counter,
		func(s *sight) float64 { return float64(s.memory.Stats().Refused) }},
	{"bowline_audit_records_total", "Lines written to the audit log.", counter,
		func(s *sight) float64 { n, _ := s.audit.Counts(); return float64(n) }},
	{"bowline_audit_lost_total", "Records that the audit log has lost.", counter,
		func(s *sight) float64 { _, n := s.audit.Counts(); return float64(n) }},
	{"bowline_leases", "Leases that are there.", gauge,
		func(s *sight) float64 { return float64(s.fsm.Leases().Len()) }},
}

// Units of histograms: what one of their values is worth in what the metric tells.
const (
	nanosecond      = 1e-9 // of durations, in seconds
	nanosecondMilli = 1e-6 // of durations, in milliseconds
	whole           = 1
)

// histogram is a metric that is one.
type histogram struct {
	name, help string
	unit       float64
	read       func(*sight) tally.Snapshot
}

var histograms = []histogram{
	{"etcd_disk_backend_commit_duration_seconds", "How long commits of batches and flushes to disk took.", nanosecond,
		func(s *sight) tally.Snapshot { return s.engine.Stats().Commits.Snapshot() }},
	{"etcd_disk_backend_defrag_duration_seconds", "How long defragmentations took; they block nobody.", nanosecond,
		func(s *sight) tally.Snapshot { return s.server.Stats().Defrags.Snapshot() }},
	{"etcd_mvcc_hash_duration_seconds", "How long the call Hash took.", nanosecond,
		func(s *sight) tally.Snapshot { return s.server.Stats().Hashes.Snapshot() }},
	{"etcd_mvcc_hash_rev_duration_seconds", "How long the call HashKV took.", nanosecond,
		func(s *sight) tally.Snapshot { return s.server.Stats().KVHashes.Snapshot() }},
	{"etcd_snap_db_fsync_duration_seconds", "How long syncs of received files took.", nanosecond,
		func(s *sight) tally.Snapshot { return s.states.receiver.Syncs() }},
	{"etcd_snap_db_save_total_duration_seconds", "How long it took to receive and save states.", nanosecond,
		func(s *sight) tally.Snapshot { return s.states.receiver.Saves() }},
	{"etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "How long steps of compactions kept writers waiting.", nanosecondMilli,
		func(s *sight) tally.Snapshot { return s.fsm.Stats().CompactionSteps.Snapshot() }},
	{"etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "How long compactions took.", nanosecondMilli,
		func(s *sight) tally.Snapshot { return s.fsm.Stats().Compactions.Snapshot() }},
	{"etcd_debugging_lease_ttl_total", "TTLs of leases that were granted, in seconds.", whole,
		func(s *sight) tally.Snapshot { return s.fsm.Stats().LeaseTTLs.Snapshot() }},
	{"bowline_engine_flush_duration_seconds", "How long flushes to disk took.", nanosecond,
		func(s *sight) tally.Snapshot { return s.engine.Stats().Flushes.Snapshot() }},
}
