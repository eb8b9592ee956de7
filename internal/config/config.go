package config

import (
	"net/url"
	"strings"
	"time"
)

// Config is all settings of a server, checked. Each part of a member is given the
// struct it needs, not the whole.
type Config struct {
	Member     Member
	Listen     Listen
	Advertise  Advertise
	Raft       Raft
	Bootstrap  Bootstrap
	Discovery  Discovery
	Storage    Storage
	Limits     Limits
	GRPC       GRPC
	HTTP       HTTP
	Compaction Compaction
	ClientTLS  Certificates
	PeerTLS    Certificates
	TLS        TLS
	Auth       Auth
	Audit      Audit
	Metrics    Metrics
	Log        Log
	Tracing    Tracing
	Checks     Checks
	Watch      Watch
	Warn       Warn
	V2         V2
	Backup     Backup
	Features   Features
	Unsafe     Unsafe
}

// Member says who this member is and where its data lie.
type Member struct {
	Name    string
	DataDir string
	// WALDir is "" for the directory inside DataDir.
	WALDir string
}

// Listen says where connections are accepted.
type Listen struct {
	Peer   []url.URL
	Client []url.URL
	// ClientHTTP, if there are any, serve HTTP, and Client gRPC alone.
	ClientHTTP   []url.URL
	Metrics      []url.URL
	ReusePort    bool
	ReuseAddress bool
}

// Advertise says where others find this member.
type Advertise struct {
	Peer   []url.URL
	Client []url.URL
}

// Raft says how this member agrees with others.
type Raft struct {
	Heartbeat           time.Duration
	ElectionTimeout     time.Duration
	AdvanceInitialTicks bool
	PreVote             bool
	StrictReconfig      bool
	MaxLearners         int
	// SnapshotCount and CatchUpEntries are what etcd calls by these names.
	SnapshotCount  uint64
	CatchUpEntries uint64
	ReadTimeout    time.Duration
	WriteTimeout   time.Duration
}

// ElectionTicks is the election timeout in heartbeats.
func (r Raft) ElectionTicks() int { return int(r.ElectionTimeout / r.Heartbeat) }

// RequestTimeout is how long a request may wait for the cluster.
func (r Raft) RequestTimeout() time.Duration { return 5*time.Second + 2*r.ElectionTimeout }

// Bootstrap says how the first start finds the other members.
type Bootstrap struct {
	// Cluster is name=url,name=url, "" if members are found in another way.
	Cluster string
	// Existing tells that this member joins a cluster that runs.
	Existing bool
	Token    string
	SRV      string
	SRVName  string
}

// Discovery says how members find each other through another cluster.
type Discovery struct {
	Token                 string
	Endpoints             []string
	DialTimeout           time.Duration
	RequestTimeout        time.Duration
	KeepAliveTime         time.Duration
	KeepAliveTimeout      time.Duration
	InsecureTransport     bool
	InsecureSkipTLSVerify bool
	CertFile              string
	KeyFile               string
	CAFile                string
	User                  string
	Password              string
}

// WithoutSecrets is what can be shown: that there is a password, which may stand behind
// the user, and not which.
func (d Discovery) WithoutSecrets() Discovery {
	user, _, both := strings.Cut(d.User, ":")
	if d.User = user; both || d.Password != "" {
		d.Password = hidden
	}
	return d
}

// hidden stands for a value that is not shown.
const hidden = "(set)"

// Storage says how much may be stored.
type Storage struct {
	// QuotaBytes is 0 if it was not set: the disk is the limit then. Negative means
	// none at all.
	QuotaBytes int64
	MemoryLock bool
}

// Limits bound what clients may ask.
type Limits struct {
	MaxTxnOps            uint
	MaxRequestBytes      uint
	MaxConcurrentStreams uint32
	// Memory is from when expensive requests are refused.
	Memory Watermark
	// UserRequestRate and UserByteRate bound what each user asks in a second; 0 is no
	// bound.
	UserRequestRate, UserByteRate uint
}

// Watermark is an amount of memory: Bytes, or Percent of what the process may have. Both
// are 0 if there is none.
type Watermark struct {
	Bytes   int64
	Percent int
}

// grpcOverhead is how much larger than a request a message of gRPC may be.
const grpcOverhead = 512 << 10

// MaxMessageBytes is the largest message that is received, and the size from which
// watch responses are split.
func (l Limits) MaxMessageBytes() int { return int(l.MaxRequestBytes) + grpcOverhead }

// GRPC is about connections of clients. Zero leaves the library's default.
type GRPC struct {
	KeepAliveMinTime  time.Duration
	KeepAliveInterval time.Duration
	KeepAliveTimeout  time.Duration
}

// HTTP is about what is not gRPC on the client port.
type HTTP struct {
	Gateway bool
	Console bool
	// CORS and HostWhitelist are sorted; "*" stands for all.
	CORS          []string
	HostWhitelist []string
}

// Compaction says what is compacted without being asked for. At most one of Period
// and Revisions is not zero.
type Compaction struct {
	Period    time.Duration
	Revisions int64
	// BatchLimit and SleepInterval pace a compaction; 0 leaves that to the store.
	BatchLimit    int
	SleepInterval time.Duration
}

// Certificates is TLS of one side: towards clients, or between members.
type Certificates struct {
	CertFile       string
	KeyFile        string
	ClientCertFile string
	ClientKeyFile  string
	// ClientCertAuth asks for certificates of those who connect; TrustedCAFile alone
	// does so too.
	ClientCertAuth   bool
	TrustedCAFile    string
	CRLFile          string
	Auto             bool
	AllowedCNs       []string
	AllowedHostnames []string
	// SkipSANVerification is about those who connect to the peer port.
	SkipSANVerification bool
}

// empty reports whether there is nothing to serve TLS with.
func (c Certificates) empty() bool { return c.CertFile == "" && c.KeyFile == "" && !c.Auto }

// TLS is what both sides share.
type TLS struct {
	// CipherSuites is nil for Go's choice; MaxVersion 0 for the highest there is.
	CipherSuites []uint16
	MinVersion   uint16
	MaxVersion   uint16
	// SelfSignedYears is how long certificates are valid that the server makes.
	SelfSignedYears uint
}

// Auth is about tokens and passwords.
type Auth struct {
	Token      string
	TokenTTL   time.Duration
	BcryptCost int
	// RevokeWatches ends running watches whose user has lost the right to them.
	RevokeWatches bool
}

// Metrics is what can be observed besides logs.
type Metrics struct {
	Pprof bool
	// Extensive adds the histogram of request durations.
	Extensive bool
}

// Audit says where it is written down what clients do. It is not if Path is "".
type Audit struct {
	Path string
	// MaxSizeMB is how long a file may become, and MaxFiles how many full ones are kept, 0
	// for all.
	MaxSizeMB, MaxFiles uint
}

// Log says where log lines go.
type Log struct {
	Level   string
	Format  string
	Outputs []string
	// Rotation is nil unless the one file among Outputs is to be rotated.
	Rotation *Rotation
}

// Rotation says when a log file is put aside.
type Rotation struct {
	MaxSizeMB  int  `json:"maxsize"`
	MaxAgeDays int  `json:"maxage"`
	MaxBackups int  `json:"maxbackups"`
	LocalTime  bool `json:"localtime"`
	Compress   bool `json:"compress"`
}

// Tracing is about spans sent to a collector.
type Tracing struct {
	Enabled     bool
	Address     string
	ServiceName string
	InstanceID  string
	// PerMillion is how many spans of a million are sampled.
	PerMillion int
}

// Checks are what members do to find that they differ. Zero turns one off.
type Checks struct {
	Corruption  time.Duration
	CompactHash time.Duration
	Downgrade   time.Duration
}

// Watch is about watches.
type Watch struct {
	ProgressInterval time.Duration
}

// Warn says what is slow enough for a line in the log.
type Warn struct {
	Unary time.Duration
	Apply time.Duration
}

// Backup is about the archive that a member keeps of itself. Place is empty if it keeps
// none; Retention is 0 for keeping all, BytesPerSecond for sending as fast as it goes.
type Backup struct {
	Place           string
	Interval        time.Duration
	CheckpointEvery time.Duration
	Retention       time.Duration
	BytesPerSecond  int64
}

// V2 is about the old API.
type V2 struct {
	Enabled bool
	// Said tells that somebody has said whether it is enabled.
	Said bool
}

// Unsafe is what breaks promises.
type Unsafe struct {
	ForceNewCluster bool
	NoFsync         bool
}

// draft is a Config in the making, with what was written where a Config holds what
// was meant, and with settings that are accepted and have no effect.
type draft struct {
	Config

	clusterState       string
	discoveryFallback  string
	compactionMode     string
	compactionRetained string
	cipherSuites       []string
	tlsMin, tlsMax     string
	tokenTTLSeconds    uint
	bcryptCost         uint
	metricsLevel       string
	logger             string
	rotate             bool
	rotation           string
	configFile         string
	version            bool

	freelistType    string
	batchInterval   time.Duration
	batchLimit      int
	maxSnapshots    uint
	maxWALs         uint
	defragThreshold uint
	v2Deprecation   string
	v2v3Prefix      string

	gates gates
}
