package member

import (
	"time"

	"bowline/internal/wal"

	"github.com/prometheus/client_golang/prometheus"
)

// walMetrics are the metrics of files that the member itself writes, under etcd's
// names.
type walMetrics struct {
	fsync, write prometheus.Histogram
	bytes        prometheus.Gauge
	// snapshots is how long it took to make the files that clients save.
	snapshots prometheus.Histogram
}

func newWALMetrics() *walMetrics {
	buckets := prometheus.ExponentialBuckets(0.001, 2, 14)
	return &walMetrics{
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "etcd_disk_wal_fsync_duration_seconds", Help: "Time of the log's syncs to disk.", Buckets: buckets,
		}),
		write: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "etcd_disk_wal_write_duration_seconds", Help: "Time of the log's writes.", Buckets: buckets,
		}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "etcd_disk_wal_write_bytes_total", Help: "Bytes written to the log.",
		}),
		snapshots: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "etcd_disk_backend_snapshot_duration_seconds", Help: "Time to write snapshots that clients have asked for.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 17),
		}),
	}
}

func (m *walMetrics) observer() wal.Observer {
	return wal.Observer{
		Write: func(n int, took time.Duration) {
			m.bytes.Add(float64(n))
			m.write.Observe(took.Seconds())
		},
		Sync: func(took time.Duration) { m.fsync.Observe(took.Seconds()) },
	}
}
