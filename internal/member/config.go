package member

import (
	"net/http"
	"net/url"
	"time"

	"bowline/internal/config"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Config of a member. It is complete and checked: package config makes it from
// flags, environment and file.
type Config struct {
	Name    string
	DataDir string
	// WALDir holds the log instead of DataDir/member/wal if it is not empty.
	WALDir string

	ListenPeerURLs    []url.URL
	ListenClientURLs  []url.URL
	ListenHTTPURLs    []url.URL
	ListenMetricsURLs []url.URL
	// ReusePort and ReuseAddress set the socket options of these names.
	ReusePort, ReuseAddress bool
	AdvertisePeerURLs       []string
	AdvertiseClientURLs     []string

	// ClientTLS and PeerTLS are TLS towards clients and between members, for URLs with
	// the schemes https and unixs.
	ClientTLS, PeerTLS config.Certificates
	TLS                config.TLS

	// InitialCluster maps each member's name to its peer URLs, and InitialToken is
	// mixed into their IDs; both matter only at the first start.
	InitialCluster map[string][]string
	InitialToken   string
	// JoinExisting tells that the cluster exists and this member was added to it.
	JoinExisting bool
	// Discovery, if it has endpoints, tells the first members instead of InitialCluster,
	// and its token is used for InitialToken. Otherwise a DNS domain does so if SRV names
	// one; SRVName is added to the names of its services.
	Discovery    config.Discovery
	SRV, SRVName string
	// ForceNewCluster makes a cluster of this member alone out of its data.
	ForceNewCluster bool

	// StrictReconfig refuses changes of members that would hurt the cluster, and
	// MaxLearners bounds the learners; it must be the same on all members.
	StrictReconfig bool
	MaxLearners    int
	// CorruptCheck is how often the leader compares the members' hashes, and
	// CompactHashCheck how often those of compactions; 0 means never.
	// InitialCorruptCheck compares before a restarted member takes part.
	CorruptCheck, CompactHashCheck time.Duration
	// AutoCompaction says what the leader compacts by itself.
	AutoCompaction      config.Compaction
	InitialCorruptCheck bool
	// HurryElection shortens the wait for the first election once a peer is reached.
	HurryElection bool

	Tick           time.Duration
	ElectionTicks  int
	HeartbeatTicks int
	PreVote        bool
	// PeerReadTimeout and PeerWriteTimeout are how long streams between members may
	// stall; 0 means the least, 5 s.
	PeerReadTimeout, PeerWriteTimeout time.Duration
	// DialFromAdvertised connects with other members from the address that this one
	// advertises.
	DialFromAdvertised bool

	// UrgentRevocations lets leases be revoked when other proposals are refused.
	UrgentRevocations bool
	// FastKeepAlive renews leases that are known, whatever waits to be applied.
	FastKeepAlive         bool
	MaxRequestBytes       int
	MaxTxnOps             int
	MaxConcurrentStreams  uint32
	QuotaBytes            int64
	WatchProgressInterval time.Duration
	KeepAliveMinTime      time.Duration
	KeepAliveInterval     time.Duration
	KeepAliveTimeout      time.Duration

	// CORS and HostWhitelist are the origins and the host names that HTTP requests on
	// client ports may have; none, or *, means all.
	CORS, HostWhitelist []string

	// AuthToken is the kind of tokens, as --auth-token has it, and TokenTTL for how long
	// simple ones live; "" is none, which leaves certificates. BcryptCost is the cost of
	// hashing passwords; 0 is bcrypt's default.
	AuthToken  string
	TokenTTL   time.Duration
	BcryptCost int
	// RevokeWatches ends running watches whose user has lost the right to them.
	RevokeWatches bool

	// EnableV2 serves API v2 on the client ports; FormerAnswers has /version and /health
	// answer as they did when that was usual.
	EnableV2, FormerAnswers bool

	// Memory is from when expensive requests are refused; none is never. UserRequests and
	// UserBytes bound what each user asks in a second; 0 is no bound.
	Memory                  config.Watermark
	UserRequests, UserBytes uint
	// Audit says where it is written down what clients do.
	Audit config.Audit

	// Tracing says where spans of calls go.
	Tracing config.Tracing
	// EnablePprof serves /debug/pprof on the client port, and the log's level there.
	EnablePprof bool
	// LogLevel is what clients change who change what is logged; it may be nil.
	LogLevel *zap.AtomicLevel
	// TraceCalls shows what gRPC notes of calls and connections at /debug/requests and
	// /debug/events. The program has to set grpc.EnableTracing beforehand.
	TraceCalls bool
	// ExtensiveMetrics adds histograms of call latencies.
	ExtensiveMetrics bool

	// Gates are the feature gates, for the metrics.
	Gates []config.Gate

	// SlowRequest and SlowApply are from when a request is worth a warning.
	SlowRequest, SlowApply time.Duration

	// Backup is about the archive that this member keeps of itself.
	Backup config.Backup

	// CacheBytes, MemTableBytes and HotBytes size the engine's block cache and
	// memtables and the cache of newest versions; 0 means the default.
	CacheBytes, MemTableBytes, HotBytes int64

	// LogSegmentBytes is the size of the log's files, and KeepLogBytes how much of it stays
	// on disk for members that are behind; 0 means the default.
	LogSegmentBytes, KeepLogBytes int64

	// JSONGateway serves the API as JSON.
	JSONGateway bool
	// Console serves a web page about the cluster and its keys.
	Console bool
	// LockMemory keeps the process's memory from being paged out.
	LockMemory bool
	// Begun, Services, GRPCOptions and Handlers are for programs that have a member in them; each may be nil. Begun is
	// called once, when the member's directory and ports are its own and it looks for the others; Services adds services
	// of gRPC, and Handlers serves paths of HTTP, on the client ports; GRPCOptions add to how gRPC is served there.
	Begun       func(*Member)
	Services    func(*grpc.Server)
	GRPCOptions []grpc.ServerOption
	Handlers    map[string]http.Handler
	// WithoutSync never waits for the disk: a crash loses what was acknowledged.
	WithoutSync bool
	// FS is the file system of the data directory; nil means the operating
	// system's.
	FS     vfs.FS
	Logger *zap.Logger
}

func (c *Config) electionTimeout() time.Duration { return c.Tick * time.Duration(c.ElectionTicks) }
