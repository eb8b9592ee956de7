package embed

import (
	"math"
	"time"
)

// Values of fields of Config.
const (
	ClusterStateFlagNew    = "new"
	ClusterStateFlagExists = "existing"
	// ClusterStateFlagExisting is ClusterStateFlagExists by the name that etcd gives it.
	ClusterStateFlagExisting = ClusterStateFlagExists

	CompactorModePeriodic = "periodic"
	CompactorModeRevision = "revision"

	DefaultLogOutput = "default"
	JournalLogOutput = "systemd/journal"
	StdErrLogOutput  = "stderr"
	StdOutLogOutput  = "stdout"
)

// Defaults of fields of Config: what NewConfig has.
const (
	DefaultName                    = "default"
	DefaultListenPeerURLs          = "http://localhost:2380"
	DefaultListenClientURLs        = "http://localhost:2379"
	DefaultMaxSnapshots            = 5
	DefaultMaxWALs                 = 5
	DefaultMaxTxnOps               = uint(128)
	DefaultMaxRequestBytes         = 1.5 * 1024 * 1024
	DefaultMaxConcurrentStreams    = math.MaxUint32
	DefaultGRPCKeepAliveMinTime    = 5 * time.Second
	DefaultGRPCKeepAliveInterval   = 2 * time.Hour
	DefaultGRPCKeepAliveTimeout    = 20 * time.Second
	DefaultStrictReconfigCheck     = true
	DefaultAutoCompactionMode      = CompactorModePeriodic
	DefaultAutoCompactionRetention = "0"
	DefaultAuthToken               = "simple"
	DefaultSelfSignedCertValidity  = 1
	DefaultTLSMinVersion           = "TLS1.2"

	DefaultWarningApplyDuration        = 100 * time.Millisecond
	DefaultWarningUnaryRequestDuration = 300 * time.Millisecond
	DefaultDowngradeCheckTime          = 5 * time.Second
	DefaultCompactHashCheckTime        = time.Minute

	DefaultLoggingFormat                 = "json"
	DefaultLogRotationConfig             = `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}`
	DefaultDistributedTracingAddress     = "localhost:4317"
	DefaultDistributedTracingServiceName = "etcd"

	DefaultInitialAdvertisePeerURLs = "http://localhost:2380"
	DefaultAdvertiseClientURLs      = "http://localhost:2379"
)
