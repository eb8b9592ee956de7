package console

import (
	"context"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// seen are the figures that were gathered last: many pages that look at once cost as
// much as one.
type seen struct {
	mu      sync.Mutex // guards both, and is held while figures are gathered
	at      time.Time
	figures *figuresAnswer
}

// freshness is how old figures may be.
const freshness = 500 * time.Millisecond

// distribution is how many of the values were at most each of the bounds.
type distribution struct {
	Bounds []float64 `json:"bounds"`
	Below  []uint64  `json:"below"`
	Count  uint64    `json:"count"`
	Sum    float64   `json:"sum"`
}

type figuresAnswer struct {
	At int64 `json:"at"` // milliseconds since 1970
	// Values are metrics by their names, summed up over their labels.
	Values map[string]float64 `json:"values"`
	// Requests are the times of requests by kind, in seconds, whether or not they
	// succeeded; Others are those of other work.
	Requests map[string]*distribution `json:"requests"`
	Others   map[string]*distribution `json:"others"`
}

// shownValues are the metrics that the page draws.
func shownValue(name string) bool {
	switch name {
	case "etcd_debugging_mvcc_watcher_total", "etcd_debugging_mvcc_watch_stream_total", "etcd_debugging_mvcc_slow_watcher_total",
		"etcd_debugging_mvcc_pending_events_total", "etcd_debugging_mvcc_events_total", "etcd_debugging_mvcc_keys_total",
		"etcd_mvcc_db_total_size_in_bytes", "etcd_mvcc_db_total_size_in_use_in_bytes", "etcd_server_quota_backend_bytes",
		"etcd_server_proposals_pending", "etcd_server_proposals_failed_total", "etcd_server_slow_apply_total",
		"etcd_network_client_grpc_received_bytes_total", "etcd_network_client_grpc_sent_bytes_total",
		"process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines", "bowline_leases", "bowline_log_bytes":
		return true
	}
	return false
}

// figures tells what this member has counted, to whoever may ask for its status.
func (c *Console) figures(ctx context.Context, _ func(any) error) (any, error) {
	if _, err := pb.NewMaintenanceClient(c.Conn).Status(ctx, &pb.StatusRequest{}); err != nil {
		return nil, err
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	if now := time.Now(); c.seen.figures == nil || now.Sub(c.seen.at) > freshness {
		families, err := c.Metrics.Gather()
		if err != nil {
			return nil, err
		}
		c.seen.at, c.seen.figures = now, figuresOf(families, now)
	}
	return c.seen.figures, nil
}

func figuresOf(families []*dto.MetricFamily, now time.Time) *figuresAnswer {
	a := &figuresAnswer{At: now.UnixMilli(), Values: map[string]float64{},
		Requests: map[string]*distribution{}, Others: map[string]*distribution{}}
	for _, f := range families {
		switch name := f.GetName(); {
		case name == "etcd_server_request_duration_seconds":
			for _, m := range f.Metric {
				addTo(a.Requests, labelOf(m, "type"), m.GetHistogram())
			}
		case name == "etcd_disk_wal_fsync_duration_seconds" || name == "etcd_disk_backend_commit_duration_seconds":
			for _, m := range f.Metric {
				addTo(a.Others, name, m.GetHistogram())
			}
		case shownValue(name):
			for _, m := range f.Metric {
				a.Values[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			}
		}
	}
	return a
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func addTo(all map[string]*distribution, name string, h *dto.Histogram) {
	d := all[name]
	if d == nil {
		d = &distribution{}
		for _, b := range h.Bucket {
			d.Bounds, d.Below = append(d.Bounds, b.GetUpperBound()), append(d.Below, 0)
		}
		all[name] = d
	}
	for i, b := range h.Bucket {
		if i < len(d.Below) { // series of one family have the same bounds
			d.Below[i] += b.GetCumulativeCount()
		}
	}
	d.Count, d.Sum = d.Count+h.GetSampleCount(), d.Sum+h.GetSampleSum()
}
