package embed

import (
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Config is the settings of an embedded member. Each field is the flag of etcd that it is called like, and has its
// default from NewConfig; docs/configuration.md tells what they do. What has no field is in Settings.
type Config struct {
	Name   string
	Dir    string
	WalDir string

	SnapshotCount          uint64
	SnapshotCatchUpEntries uint64
	MaxSnapFiles           uint
	MaxWalFiles            uint

	// TickMs is the time between heartbeats, and ElectionMs the election timeout, in milliseconds.
	TickMs                     uint
	ElectionMs                 uint
	InitialElectionTickAdvance bool

	BackendBatchInterval time.Duration
	BackendBatchLimit    int
	BackendFreelistType  string
	QuotaBackendBytes    int64
	MaxTxnOps            uint
	MaxRequestBytes      uint
	MaxConcurrentStreams uint32

	ListenPeerUrls, ListenClientUrls, ListenClientHttpUrls []url.URL
	AdvertisePeerUrls, AdvertiseClientUrls                 []url.URL
	ListenMetricsUrls                                      []url.URL

	ClientTLSInfo          transport.TLSInfo
	ClientAutoTLS          bool
	PeerTLSInfo            transport.TLSInfo
	PeerAutoTLS            bool
	SelfSignedCertValidity uint
	CipherSuites           []string
	TlsMinVersion          string
	TlsMaxVersion          string

	ClusterState          string
	DNSCluster            string
	DNSClusterServiceName string
	// InitialCluster is of this member alone, whatever its name and URLs, if it is left as it was.
	InitialCluster      string
	InitialClusterToken string
	StrictReconfigCheck bool
	PreVote             bool
	ForceNewCluster     bool
	MaxLearners         int

	AutoCompactionMode      string
	AutoCompactionRetention string

	GRPCKeepAliveMinTime  time.Duration
	GRPCKeepAliveInterval time.Duration
	GRPCKeepAliveTimeout  time.Duration
	// GRPCAdditionalServerOptions are added to how gRPC is served on the client ports. Interceptors are chained behind
	// the member's own (grpc.ChainUnaryInterceptor); credentials and codecs remain the member's.
	GRPCAdditionalServerOptions []grpc.ServerOption

	SocketOpts transport.SocketOpts

	// CORS and HostWhitelist are sets; "*" in one stands for all.
	CORS          map[string]struct{}
	HostWhitelist map[string]struct{}
	// UserHandlers serves further paths over HTTP, and ServiceRegister adds services of gRPC, on the client ports.
	// Neither is asked who calls: that is for the handlers and services.
	UserHandlers      map[string]http.Handler
	ServiceRegister   func(*grpc.Server)
	EnableGRPCGateway bool

	AuthToken    string
	BcryptCost   uint
	AuthTokenTTL uint

	CorruptCheckTime                  time.Duration
	CompactHashCheckTime              time.Duration
	CompactionBatchLimit              int
	CompactionSleepInterval           time.Duration
	WatchProgressNotifyInterval       time.Duration
	WarningApplyDuration              time.Duration
	WarningUnaryRequestDuration       time.Duration
	BootstrapDefragThresholdMegabytes uint
	DowngradeCheckTime                time.Duration

	EnablePprof bool
	// Metrics is basic or extensive.
	Metrics string

	EnableDistributedTracing                 bool
	DistributedTracingAddress                string
	DistributedTracingServiceName            string
	DistributedTracingServiceInstanceID      string
	DistributedTracingSamplingRatePerMillion int

	Logger                string
	LogLevel              string
	LogFormat             string
	LogOutputs            []string
	EnableLogRotation     bool
	LogRotationConfigJSON string
	// ZapLoggerBuilder, if it is set, gives the member a log of the program's own: see NewZapLoggerBuilder. The
	// settings of logs mean nothing then.
	ZapLoggerBuilder func(*Config) error

	UnsafeNoFsync bool
	MemoryMlock   bool
	V2Deprecation string

	// Settings holds, by the names of their flags, settings that have no field: those of discovery, the feature
	// gates, and those that etcd does not have.
	Settings map[string]string

	logger *zap.Logger
}

// NewZapLoggerBuilder makes a ZapLoggerBuilder of a log.
func NewZapLoggerBuilder(log *zap.Logger) func(*Config) error {
	return func(c *Config) error {
		c.logger = log
		return nil
	}
}
