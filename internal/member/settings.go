package member

import (
	"net/url"

	"bowline/internal/config"

	"go.uber.org/zap"
)

// FromSettings makes a member's configuration from the settings that flags,
// environment or file have given.
func FromSettings(c *config.Config, log *zap.Logger) (Config, error) {
	members, err := c.Bootstrap.InitialMembers()
	if err != nil {
		return Config{}, err
	}
	return Config{
		Name: c.Member.Name, DataDir: c.Member.DataDir, WALDir: c.Member.WALDir,
		ListenPeerURLs: c.Listen.Peer, ListenClientURLs: c.Listen.Client,
		ListenHTTPURLs: c.Listen.ClientHTTP, ListenMetricsURLs: c.Listen.Metrics,
		ReusePort: c.Listen.ReusePort, ReuseAddress: c.Listen.ReuseAddress,
		ClientTLS: c.ClientTLS, PeerTLS: c.PeerTLS, TLS: c.TLS,
		AdvertisePeerURLs: texts(c.Advertise.Peer), AdvertiseClientURLs: texts(c.Advertise.Client),
		InitialCluster: byName(members), InitialToken: c.Bootstrap.Token, JoinExisting: c.Bootstrap.Existing,
		Discovery: c.Discovery, SRV: c.Bootstrap.SRV, SRVName: c.Bootstrap.SRVName,
		JSONGateway:     c.HTTP.Gateway,
		Console:         c.HTTP.Console,
		ForceNewCluster: c.Unsafe.ForceNewCluster, WithoutSync: c.Unsafe.NoFsync,
		StrictReconfig: c.Raft.StrictReconfig, MaxLearners: c.Raft.MaxLearners, HurryElection: c.Raft.AdvanceInitialTicks,
		AutoCompaction: c.Compaction,
		CorruptCheck:   c.Checks.Corruption, CompactHashCheck: c.Checks.CompactHash, InitialCorruptCheck: c.Features.InitialCorruptCheck,
		Tick: c.Raft.Heartbeat, ElectionTicks: c.Raft.ElectionTicks(), HeartbeatTicks: 1, PreVote: c.Raft.PreVote,
		PeerReadTimeout: c.Raft.ReadTimeout, PeerWriteTimeout: c.Raft.WriteTimeout,
		MaxRequestBytes: int(c.Limits.MaxRequestBytes), MaxTxnOps: int(c.Limits.MaxTxnOps),
		MaxConcurrentStreams: c.Limits.MaxConcurrentStreams, QuotaBytes: c.Storage.QuotaBytes,
		WatchProgressInterval: c.Watch.ProgressInterval,
		KeepAliveMinTime:      c.GRPC.KeepAliveMinTime, KeepAliveInterval: c.GRPC.KeepAliveInterval, KeepAliveTimeout: c.GRPC.KeepAliveTimeout,
		UrgentRevocations: c.Features.PriorityRequest, FastKeepAlive: c.Features.FastLeaseKeepAlive,
		CORS: c.HTTP.CORS, HostWhitelist: c.HTTP.HostWhitelist,
		AuthToken: c.Auth.Token, TokenTTL: c.Auth.TokenTTL, BcryptCost: c.Auth.BcryptCost, RevokeWatches: c.Auth.RevokeWatches,
		EnableV2: c.V2.Enabled, FormerAnswers: c.V2.Said,
		Memory: c.Limits.Memory, UserRequests: c.Limits.UserRequestRate, UserBytes: c.Limits.UserByteRate, Audit: c.Audit,
		EnablePprof: c.Metrics.Pprof, ExtensiveMetrics: c.Metrics.Extensive,
		Backup: c.Backup, Tracing: c.Tracing, LockMemory: c.Storage.MemoryLock, DialFromAdvertised: c.Features.SetMemberLocalAddr,
		SlowRequest: c.Warn.Unary, SlowApply: c.Warn.Apply, Gates: c.Features.Gates(),
		Logger: log,
	}, nil
}

func texts(urls []url.URL) []string {
	out := make([]string, len(urls))
	for i := range urls {
		out[i] = urls[i].String()
	}
	return out
}
