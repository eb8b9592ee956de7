package embed

import (
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"bowline/internal/member"

	"go.uber.org/zap"
	"go.uber.org/zap/zapgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
)

// GetLogger is the log that a ZapLoggerBuilder has given, nil before.
func (c *Config) GetLogger() *zap.Logger { return c.logger }

// SetupGlobalLoggers gives the log of GetLogger, if there is one, to all that logs by itself in the program: gRPC (its
// errors alone go to stderr, if LogLevel is not debug) and zap's global log. It is for the program to call, once, before
// gRPC is used; Etcd.Config has the log that a member has made.
func (c *Config) SetupGlobalLoggers() {
	if c.logger == nil {
		return
	}
	if c.LogLevel == "debug" {
		grpc.EnableTracing = true
		grpclog.SetLoggerV2(zapgrpc.NewLogger(c.logger))
	} else {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, os.Stderr, os.Stderr))
	}
	zap.ReplaceGlobals(c.logger)
}

// InitialClusterFromName is the initial cluster of a member alone.
func (c *Config) InitialClusterFromName(name string) string {
	if name == "" {
		name = DefaultName
	}
	words := make([]string, len(c.AdvertisePeerUrls))
	for i := range c.AdvertisePeerUrls {
		words[i] = name + "=" + c.AdvertisePeerUrls[i].String()
	}
	return strings.Join(words, ",")
}

// UpdateDefaultClusterFromName puts the address of the machine's default route where a URL to advertise was left alone
// although all addresses are listened on, and has the initial cluster follow the name and the URLs if it still is what
// is given. It returns the address if it was of use. StartEtcd does the same, without changing the Config.
func (c *Config) UpdateDefaultClusterFromName(defaultInitialCluster string) (string, error) {
	host, err := member.DefaultHost()
	used := false
	if err == nil && host != "" {
		peer := useHost(c.ListenPeerUrls, c.AdvertisePeerUrls, DefaultInitialAdvertisePeerURLs, host)
		client := useHost(c.ListenClientUrls, c.AdvertiseClientUrls, DefaultAdvertiseClientURLs, host)
		used = peer || client
	}
	if c.Name != DefaultName && c.InitialCluster == defaultInitialCluster {
		c.InitialCluster = c.InitialClusterFromName(c.Name)
	}
	if !used {
		host = ""
	}
	return host, err
}

// useHost tells whether the URL to advertise was to be changed.
func useHost(listen, advertise []url.URL, def, host string) bool {
	if len(listen) == 0 || listen[0].Hostname() != "0.0.0.0" ||
		!slices.Equal(advertise, []url.URL{{Scheme: "http", Host: strings.TrimPrefix(def, "http://")}}) {
		return false
	}
	advertise[0].Host = net.JoinHostPort(host, listen[0].Port())
	return true
}

// IsNewCluster tells whether the cluster is to be made.
func (c *Config) IsNewCluster() bool { return c.ClusterState == ClusterStateFlagNew }

// ElectionTicks is the election timeout in heartbeats.
func (c *Config) ElectionTicks() int { return int(c.ElectionMs / c.TickMs) }
