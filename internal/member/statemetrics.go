package member

import (
	"bowline/internal/rpc"
	"bowline/internal/transfer"

	"github.com/prometheus/client_golang/prometheus"
)

// collectStates shows how whole states fared that were sent and received.
func (s *sight) collectStates(ch chan<- prometheus.Metric) {
	for _, way := range []struct {
		name, label, verb string
		counts            []transfer.Count
	}{
		{"send", "To", "sent to a peer", s.states.sender.Counts()},
		{"receive", "From", "received from a peer", s.states.receiver.Counts()},
	} {
		prefix, labels := "etcd_network_snapshot_"+way.name+"_", []string{way.label}
		done := prometheus.NewDesc(prefix+"success", "States "+way.verb+".", labels, nil)
		failed := prometheus.NewDesc(prefix+"failures", "States that could not be "+way.verb+".", labels, nil)
		underWay := prometheus.NewDesc(prefix+"inflights_total", "States that are being "+way.verb+".", labels, nil)
		times := prometheus.NewDesc(prefix+"total_duration_seconds", "How long it took until a state was "+way.verb+".", labels, nil)
		for _, c := range way.counts {
			peer := hex(c.Peer)
			ch <- prometheus.MustNewConstMetric(underWay, gauge, float64(c.UnderWay), peer)
			if c.Failed > 0 {
				ch <- prometheus.MustNewConstMetric(failed, counter, float64(c.Failed), peer)
			}
			if c.Succeeded > 0 {
				ch <- prometheus.MustNewConstMetric(done, counter, float64(c.Succeeded), peer)
				ch <- rpc.ConstHistogram(times, c.Durations, nanosecond, peer)
			}
		}
	}
}
