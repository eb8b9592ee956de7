package member

import (
	"bowline/internal/rpc"
	"bowline/internal/transport"

	"github.com/prometheus/client_golang/prometheus"
)

// peerFigure is a metric of one number for each peer. Like etcd's, a series of it
// appears when there is something to tell.
type peerFigure struct {
	name, help, label string
	kind              prometheus.ValueType
	read              func(*transport.PeerStats) float64
}

var peerFigures = []peerFigure{
	{"etcd_network_peer_sent_bytes_total", "Bytes sent to a peer.", "To", counter,
		func(p *transport.PeerStats) float64 { return float64(p.SentBytes) }},
	{"etcd_network_peer_received_bytes_total", "Bytes received from a peer.", "From", counter,
		func(p *transport.PeerStats) float64 { return float64(p.ReceivedBytes) }},
	{"etcd_network_peer_sent_failures_total", "Messages that could not be sent to a peer.", "To", counter,
		func(p *transport.PeerStats) float64 { return float64(p.SentFailures) }},
	{"etcd_network_peer_received_failures_total", "Messages from a peer that could not be taken.", "From", counter,
		func(p *transport.PeerStats) float64 { return float64(p.ReceivedFailures) }},
}

// collectPeers shows what was counted of each peer.
func (s *sight) collectPeers(ch chan<- prometheus.Metric) {
	id := hex(s.id.memberID)
	between := []string{"Local", "Remote"}
	active := prometheus.NewDesc("etcd_network_active_peers", "The peers that are in touch.", between, nil)
	lost := prometheus.NewDesc("etcd_network_disconnected_peers_total", "How often a peer got out of touch.", between, nil)
	trips := prometheus.NewDesc("etcd_network_peer_round_trip_time_seconds", "How long a probe of a peer took.", []string{"To"}, nil)
	for _, p := range s.transport.Peers() {
		remote := hex(p.ID)
		if !p.ActiveSince.IsZero() || p.Disconnects > 0 {
			ch <- prometheus.MustNewConstMetric(active, gauge, flag(!p.ActiveSince.IsZero()), id, remote)
		}
		if p.Disconnects > 0 {
			ch <- prometheus.MustNewConstMetric(lost, counter, float64(p.Disconnects), id, remote)
		}
		for _, f := range peerFigures {
			if v := f.read(&p); v > 0 {
				ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(f.name, f.help, []string{f.label}, nil), f.kind, v, remote)
			}
		}
		if p.RoundTrips.Count > 0 {
			ch <- rpc.ConstHistogram(trips, p.RoundTrips, nanosecond, remote)
		}
	}
	drops := prometheus.NewDesc("bowline_network_dropped_messages_total", "Messages between members that were dropped, by kind and reason.",
		[]string{"type", "reason"}, nil)
	for _, d := range s.transport.Drops() {
		ch <- prometheus.MustNewConstMetric(drops, counter, float64(d.Count), d.Type, d.Reason)
	}
}

// collectPromotions shows how promotions of learners went.
func (s *sight) collectPromotions(ch chan<- prometheus.Metric) {
	failures := prometheus.NewDesc("etcd_server_learner_promote_failures", "Promotions of learners that were refused, by reason.",
		[]string{"Reason"}, nil)
	for reason, n := range s.server.PromotionsRefused() {
		ch <- prometheus.MustNewConstMetric(failures, counter, float64(n), reason)
	}
}
