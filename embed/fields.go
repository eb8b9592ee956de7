package embed

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is a field of Config and the flag of the same meaning. Defaults, forms, checks and effects are those of the flag.
type field struct {
	flag string
	at   func(*Config) any // a pointer to the field
}

// fields is every field that is a setting.
func fields() []field {
	return slices.Concat(memberFields(), networkFields(), certificateFields(), clusterFields(), otherFields())
}

func memberFields() []field {
	return []field{
		{"name", func(c *Config) any { return &c.Name }},
		{"data-dir", func(c *Config) any { return &c.Dir }},
		{"wal-dir", func(c *Config) any { return &c.WalDir }},
		{"snapshot-count", func(c *Config) any { return &c.SnapshotCount }},
		{"snapshot-catchup-entries", func(c *Config) any { return &c.SnapshotCatchUpEntries }},
		{"max-snapshots", func(c *Config) any { return &c.MaxSnapFiles }},
		{"max-wals", func(c *Config) any { return &c.MaxWalFiles }},
		{"heartbeat-interval", func(c *Config) any { return &c.TickMs }},
		{"election-timeout", func(c *Config) any { return &c.ElectionMs }},
		{"initial-election-tick-advance", func(c *Config) any { return &c.InitialElectionTickAdvance }},
		{"backend-batch-interval", func(c *Config) any { return &c.BackendBatchInterval }},
		{"backend-batch-limit", func(c *Config) any { return &c.BackendBatchLimit }},
		{"backend-bbolt-freelist-type", func(c *Config) any { return &c.BackendFreelistType }},
		{"quota-backend-bytes", func(c *Config) any { return &c.QuotaBackendBytes }},
		{"max-txn-ops", func(c *Config) any { return &c.MaxTxnOps }},
		{"max-request-bytes", func(c *Config) any { return &c.MaxRequestBytes }},
		{"max-concurrent-streams", func(c *Config) any { return &c.MaxConcurrentStreams }},
		{"memory-mlock", func(c *Config) any { return &c.MemoryMlock }},
		{"unsafe-no-fsync", func(c *Config) any { return &c.UnsafeNoFsync }},
		{"force-new-cluster", func(c *Config) any { return &c.ForceNewCluster }},
		{"v2-deprecation", func(c *Config) any { return &c.V2Deprecation }},
	}
}

func networkFields() []field {
	return []field{
		{"listen-peer-urls", func(c *Config) any { return &c.ListenPeerUrls }},
		{"listen-client-urls", func(c *Config) any { return &c.ListenClientUrls }},
		{"listen-client-http-urls", func(c *Config) any { return &c.ListenClientHttpUrls }},
		{"listen-metrics-urls", func(c *Config) any { return &c.ListenMetricsUrls }},
		{"initial-advertise-peer-urls", func(c *Config) any { return &c.AdvertisePeerUrls }},
		{"advertise-client-urls", func(c *Config) any { return &c.AdvertiseClientUrls }},
		{"grpc-keepalive-min-time", func(c *Config) any { return &c.GRPCKeepAliveMinTime }},
		{"grpc-keepalive-interval", func(c *Config) any { return &c.GRPCKeepAliveInterval }},
		{"grpc-keepalive-timeout", func(c *Config) any { return &c.GRPCKeepAliveTimeout }},
		{"socket-reuse-port", func(c *Config) any { return &c.SocketOpts.ReusePort }},
		{"socket-reuse-address", func(c *Config) any { return &c.SocketOpts.ReuseAddress }},
		{"enable-grpc-gateway", func(c *Config) any { return &c.EnableGRPCGateway }},
		{"cors", func(c *Config) any { return &c.CORS }},
		{"host-whitelist", func(c *Config) any { return &c.HostWhitelist }},
	}
}

func certificateFields() []field {
	return []field{
		{"cert-file", func(c *Config) any { return &c.ClientTLSInfo.CertFile }},
		{"key-file", func(c *Config) any { return &c.ClientTLSInfo.KeyFile }},
		{"client-cert-file", func(c *Config) any { return &c.ClientTLSInfo.ClientCertFile }},
		{"client-key-file", func(c *Config) any { return &c.ClientTLSInfo.ClientKeyFile }},
		{"trusted-ca-file", func(c *Config) any { return &c.ClientTLSInfo.TrustedCAFile }},
		{"client-cert-auth", func(c *Config) any { return &c.ClientTLSInfo.ClientCertAuth }},
		{"client-crl-file", func(c *Config) any { return &c.ClientTLSInfo.CRLFile }},
		{"client-cert-allowed-hostname", func(c *Config) any { return &c.ClientTLSInfo.AllowedHostnames }},
		{"auto-tls", func(c *Config) any { return &c.ClientAutoTLS }},
		{"peer-cert-file", func(c *Config) any { return &c.PeerTLSInfo.CertFile }},
		{"peer-key-file", func(c *Config) any { return &c.PeerTLSInfo.KeyFile }},
		{"peer-client-cert-file", func(c *Config) any { return &c.PeerTLSInfo.ClientCertFile }},
		{"peer-client-key-file", func(c *Config) any { return &c.PeerTLSInfo.ClientKeyFile }},
		{"peer-trusted-ca-file", func(c *Config) any { return &c.PeerTLSInfo.TrustedCAFile }},
		{"peer-client-cert-auth", func(c *Config) any { return &c.PeerTLSInfo.ClientCertAuth }},
		{"peer-crl-file", func(c *Config) any { return &c.PeerTLSInfo.CRLFile }},
		{"peer-cert-allowed-cn", func(c *Config) any { return &c.PeerTLSInfo.AllowedCNs }},
		{"peer-cert-allowed-hostname", func(c *Config) any { return &c.PeerTLSInfo.AllowedHostnames }},
		{"peer-skip-client-san-verification", func(c *Config) any { return &c.PeerTLSInfo.SkipClientSANVerify }},
		{"peer-auto-tls", func(c *Config) any { return &c.PeerAutoTLS }},
		{"self-signed-cert-validity", func(c *Config) any { return &c.SelfSignedCertValidity }},
		{"cipher-suites", func(c *Config) any { return &c.CipherSuites }},
		{"tls-min-version", func(c *Config) any { return &c.TlsMinVersion }},
		{"tls-max-version", func(c *Config) any { return &c.TlsMaxVersion }},
		{"auth-token", func(c *Config) any { return &c.AuthToken }},
		{"bcrypt-cost", func(c *Config) any { return &c.BcryptCost }},
		{"auth-token-ttl", func(c *Config) any { return &c.AuthTokenTTL }},
	}
}

func clusterFields() []field {
	return []field{
		{"initial-cluster", func(c *Config) any { return &c.InitialCluster }},
		{"initial-cluster-token", func(c *Config) any { return &c.InitialClusterToken }},
		{"initial-cluster-state", func(c *Config) any { return &c.ClusterState }},
		{"discovery-srv", func(c *Config) any { return &c.DNSCluster }},
		{"discovery-srv-name", func(c *Config) any { return &c.DNSClusterServiceName }},
		{"strict-reconfig-check", func(c *Config) any { return &c.StrictReconfigCheck }},
		{"pre-vote", func(c *Config) any { return &c.PreVote }},
		{"max-learners", func(c *Config) any { return &c.MaxLearners }},
		{"auto-compaction-mode", func(c *Config) any { return &c.AutoCompactionMode }},
		{"auto-compaction-retention", func(c *Config) any { return &c.AutoCompactionRetention }},
	}
}

func otherFields() []field {
	return []field{
		{"corrupt-check-time", func(c *Config) any { return &c.CorruptCheckTime }},
		{"compact-hash-check-time", func(c *Config) any { return &c.CompactHashCheckTime }},
		{"compaction-batch-limit", func(c *Config) any { return &c.CompactionBatchLimit }},
		{"compaction-sleep-interval", func(c *Config) any { return &c.CompactionSleepInterval }},
		{"watch-progress-notify-interval", func(c *Config) any { return &c.WatchProgressNotifyInterval }},
		{"warning-apply-duration", func(c *Config) any { return &c.WarningApplyDuration }},
		{"warning-unary-request-duration", func(c *Config) any { return &c.WarningUnaryRequestDuration }},
		{"bootstrap-defrag-threshold-megabytes", func(c *Config) any { return &c.BootstrapDefragThresholdMegabytes }},
		{"downgrade-check-time", func(c *Config) any { return &c.DowngradeCheckTime }},
		{"enable-pprof", func(c *Config) any { return &c.EnablePprof }},
		{"metrics", func(c *Config) any { return &c.Metrics }},
		{"enable-distributed-tracing", func(c *Config) any { return &c.EnableDistributedTracing }},
		{"distributed-tracing-address", func(c *Config) any { return &c.DistributedTracingAddress }},
		{"distributed-tracing-service-name", func(c *Config) any { return &c.DistributedTracingServiceName }},
		{"distributed-tracing-instance-id", func(c *Config) any { return &c.DistributedTracingServiceInstanceID }},
		{"distributed-tracing-sampling-rate", func(c *Config) any { return &c.DistributedTracingSamplingRatePerMillion }},
		{"logger", func(c *Config) any { return &c.Logger }},
		{"log-level", func(c *Config) any { return &c.LogLevel }},
		{"log-format", func(c *Config) any { return &c.LogFormat }},
		{"log-outputs", func(c *Config) any { return &c.LogOutputs }},
		{"enable-log-rotation", func(c *Config) any { return &c.EnableLogRotation }},
		{"log-rotation-config-json", func(c *Config) any { return &c.LogRotationConfigJSON }},
	}
}

// text is a field as its flag has it.
func text(at any) string {
	switch p := at.(type) {
	case *string:
		return *p
	case *[]string:
		return strings.Join(*p, ",")
	case *[]url.URL:
		words := make([]string, len(*p))
		for i := range *p {
			words[i] = (*p)[i].String()
		}
		return strings.Join(words, ",")
	case *map[string]struct{}:
		return strings.Join(slices.Sorted(maps.Keys(*p)), ",")
	case *bool:
		return strconv.FormatBool(*p)
	case *int:
		return strconv.Itoa(*p)
	case *int64:
		return strconv.FormatInt(*p, 10)
	case *uint:
		return strconv.FormatUint(uint64(*p), 10)
	case *uint32:
		return strconv.FormatUint(uint64(*p), 10)
	case *uint64:
		return strconv.FormatUint(*p, 10)
	case *time.Duration:
		return p.String()
	}
	panic(fmt.Sprintf("embed: no field has the type %T", at))
}

// setText gives a field the value that its flag has. The texts come from package config, which has checked them.
func setText(at any, s string) (err error) {
	switch p := at.(type) {
	case *string:
		*p = s
	case *[]string:
		*p = words(s)
	case *[]url.URL:
		*p = nil
		for _, word := range words(s) {
			u, err := url.Parse(word)
			if err != nil {
				return err
			}
			*p = append(*p, *u)
		}
	case *map[string]struct{}:
		*p = make(map[string]struct{})
		for _, word := range words(s) {
			(*p)[word] = struct{}{}
		}
	case *bool:
		*p, err = strconv.ParseBool(s)
	case *int:
		*p, err = strconv.Atoi(s)
	case *int64:
		*p, err = strconv.ParseInt(s, 10, 64)
	case *uint:
		*p, err = number[uint](s)
	case *uint32:
		*p, err = number[uint32](s)
	case *uint64:
		*p, err = number[uint64](s)
	case *time.Duration:
		*p, err = time.ParseDuration(s)
	default:
		err = fmt.Errorf("no field has the type %T", at)
	}
	return err
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func number[T uint | uint32 | uint64](s string) (T, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	return T(n), err
}
