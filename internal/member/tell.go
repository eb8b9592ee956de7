package member

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"bowline/internal/config"
	"bowline/internal/fsm"
	"bowline/internal/server"
	"bowline/internal/wal"

	"github.com/dustin/go-humanize"
	"go.uber.org/zap"
)

// The lines about a member's life have etcd's texts and fields: people, and programs,
// search for them.

// LogConfig writes the line that shows the whole configuration, without what must
// stay secret.
func LogConfig(log *zap.Logger, c *config.Config) {
	shown := *c
	shown.Discovery = c.Discovery.WithoutSecrets()
	state := "new"
	if c.Bootstrap.Existing {
		state = "existing"
	}
	log.Info("starting an etcd server", zap.String("etcd-version", server.Version), zap.String("git-sha", "bowline"),
		zap.String("go-version", runtime.Version()), zap.String("go-os", runtime.GOOS), zap.String("go-arch", runtime.GOARCH),
		zap.Int("max-cpu-set", runtime.GOMAXPROCS(0)), zap.Int("max-cpu-available", runtime.NumCPU()),
		zap.String("name", c.Member.Name), zap.String("data-dir", c.Member.DataDir), zap.String("wal-dir", c.Member.WALDir),
		zap.Bool("force-new-cluster", c.Unsafe.ForceNewCluster),
		zap.Stringer("heartbeat-interval", c.Raft.Heartbeat), zap.Stringer("election-timeout", c.Raft.ElectionTimeout),
		zap.Bool("initial-election-tick-advance", c.Raft.AdvanceInitialTicks),
		zap.Strings("initial-advertise-peer-urls", texts(c.Advertise.Peer)), zap.Strings("listen-peer-urls", texts(c.Listen.Peer)),
		zap.Strings("advertise-client-urls", texts(c.Advertise.Client)), zap.Strings("listen-client-urls", texts(c.Listen.Client)),
		zap.Strings("listen-metrics-urls", texts(c.Listen.Metrics)), zap.Strings("cors", c.HTTP.CORS),
		zap.Strings("host-whitelist", c.HTTP.HostWhitelist), zap.String("initial-cluster", c.Bootstrap.Cluster),
		zap.String("initial-cluster-state", state), zap.String("initial-cluster-token", c.Bootstrap.Token),
		zap.Int64("quota-backend-bytes", c.Storage.QuotaBytes), zap.Uint("max-request-bytes", c.Limits.MaxRequestBytes),
		zap.Uint32("max-concurrent-streams", c.Limits.MaxConcurrentStreams), zap.Bool("pre-vote", c.Raft.PreVote),
		zap.Stringer("corrupt-check-time-interval", c.Checks.Corruption), zap.Stringer("compact-check-time-interval", c.Checks.CompactHash),
		zap.String("discovery-token", c.Discovery.Token), zap.String("discovery-endpoints", strings.Join(c.Discovery.Endpoints, ",")),
		zap.Any("settings", shown))
}

// whose are the fields of lines about the process's end.
func (m *Member) whose() []zap.Field {
	return []zap.Field{zap.String("name", m.cfg.Name), zap.String("data-dir", m.cfg.DataDir),
		zap.Strings("advertise-peer-urls", m.cfg.AdvertisePeerURLs), zap.Strings("advertise-client-urls", m.cfg.AdvertiseClientURLs)}
}

// tellDirectory tells whether there is data, which makes most settings of the first
// members void.
func (m *Member) tellDirectory(initialized bool) {
	dir := zap.String("data-dir", m.cfg.DataDir)
	if initialized {
		m.log.Info("server has already been initialized", dir, zap.String("dir-type", "member"))
		return
	}
	m.log.Info("Initialize and start etcd server", dir, zap.String("dir-type", "empty"))
}

// tellState tells what the directory holds, which fresh says was made just now.
func (m *Member) tellState(recovered wal.Recovered, fresh bool) {
	local, clusterID := zap.String("local-member-id", hex(m.id.memberID)), zap.String("cluster-id", hex(m.id.clusterID))
	commit := zap.Uint64("commit-index", recovered.HardState.Commit)
	switch {
	case fresh:
		m.log.Info("starting local member", local, clusterID)
	case m.cfg.ForceNewCluster:
		m.log.Info("forcing restart member", clusterID, local, commit)
	default:
		m.log.Info("restarting local member", clusterID, local, commit)
	}
	message, prefix, urls := "recovered/added member from store", "recovered-remote-peer", "recovered-remote-peer-urls"
	if fresh {
		message, prefix, urls = "added member", "added-peer", "added-peer-peer-urls"
	}
	for _, x := range m.fsm.Members().Members() {
		m.log.Info(message, clusterID, local, zap.String(prefix+"-id", hex(x.ID)), zap.Strings(urls, x.PeerURLs),
			zap.Bool(prefix+"-is-learner", x.IsLearner))
	}
	shown := "to_be_decided"
	if v := m.fsm.ClusterVersion(); v != "" {
		shown = fsm.ShortVersion(v)
		m.log.Info("set cluster version from store", zap.String("cluster-version", shown))
		m.log.Info("enabled capabilities for version", zap.String("cluster-version", shown))
	}
	m.log.Info("starting etcd server", local, zap.String("local-server-version", server.Version), clusterID, zap.String("cluster-version", shown))
	quota, name := m.cfg.QuotaBytes, zap.String("quota-name", "v3-applier")
	switch {
	case quota < 0:
		m.log.Info("disabled backend quota", name, zap.Int64("quota-size-bytes", quota))
	case quota > 0:
		m.log.Info("enabled backend quota", name, zap.Int64("quota-size-bytes", quota), zap.String("quota-size", humanize.Bytes(uint64(quota))))
	}
}

// tellServing is for when peers are served, and clients will be.
func (m *Member) tellServing() {
	m.log.Info("now serving peer/client/metrics", zap.String("local-member-id", hex(m.id.memberID)),
		zap.Strings("initial-advertise-peer-urls", m.cfg.AdvertisePeerURLs), zap.Strings("listen-peer-urls", texts(m.cfg.ListenPeerURLs)),
		zap.Strings("advertise-client-urls", m.cfg.AdvertiseClientURLs),
		zap.Strings("listen-client-urls", texts(slices.Concat(m.cfg.ListenClientURLs, m.cfg.ListenHTTPURLs))),
		zap.Strings("listen-metrics-urls", texts(m.cfg.ListenMetricsURLs)))
}

// tellPublished is for when the others know where this member serves clients.
func (m *Member) tellPublished() {
	m.log.Info("published local member to cluster through raft", zap.String("local-member-id", hex(m.id.memberID)),
		zap.String("local-member-attributes", fmt.Sprintf("{Name:%s ClientURLs:%s}", m.cfg.Name, m.cfg.AdvertiseClientURLs)),
		zap.String("cluster-id", hex(m.id.clusterID)), zap.Duration("publish-timeout", requestTimeout(&m.cfg)))
}
