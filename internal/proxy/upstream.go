package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
	"go.uber.org/zap"
)

const dialTimeout = 5 * time.Second

// clusterTLS is TLS towards the cluster; nil if there is none.
func (o *options) clusterTLS(log *zap.Logger) (*tls.Config, error) {
	info := tlsInfo(o.ca, o.cert, o.key, true)
	if info == nil && o.skipVerify {
		info = &transport.TLSInfo{}
	}
	if info == nil {
		return nil, nil
	}
	config, err := info.ClientConfig()
	if err != nil {
		return nil, err
	}
	if config.InsecureSkipVerify = o.skipVerify; o.skipVerify {
		log.Warn("--insecure-skip-tls-verify was given, this grpc proxy process skips authentication of etcd server TLS certificates. " +
			"This option should be enabled only for testing purposes.")
	}
	log.Info("gRPC proxy client TLS", zap.String("tls-info", fmt.Sprintf("%+v", info)))
	return config, nil
}

// dialCluster is a client of the cluster. It connects when it is used.
func (o *options) dialCluster(log *zap.Logger, secure *tls.Config) (*clientv3.Client, error) {
	found, _, err := o.lookup.Find(log)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		found = o.endpoints
	}
	cfg := clientv3.Config{
		Endpoints: found, AutoSyncInterval: o.autoSync, DialTimeout: dialTimeout, TLS: secure,
		PermitWithoutStream: o.permitWithoutStream, Logger: log.Named("client"),
	}
	if o.maxSend > 0 {
		cfg.MaxCallSendMsgSize = o.maxSend
	}
	if o.maxRecv > 0 {
		cfg.MaxCallRecvMsgSize = o.maxRecv
	}
	if o.dialKeepAliveTime > 0 {
		cfg.DialKeepAliveTime = o.dialKeepAliveTime
	}
	if o.dialKeepAliveTimeout > 0 {
		cfg.DialKeepAliveTimeout = o.dialKeepAliveTimeout
	}
	return clientv3.New(cfg)
}

// membersHTTP is a client for the members' metrics.
func membersHTTP(secure *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: secure.Clone(), MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}}
}

// dialSelf is a client of this proxy as its clients are; nil if it has no address to advertise.
func (o *options) dialSelf(log *zap.Logger, serving *transport.TLSInfo) (*clientv3.Client, error) {
	if o.advertise == "" {
		return nil, nil
	}
	cfg := clientv3.Config{Endpoints: []string{o.advertise}, DialTimeout: dialTimeout, Logger: log.Named("client")}
	if serving != nil {
		config, err := serving.ClientConfig()
		if err != nil {
			return nil, err
		}
		// What it made itself nobody else has signed.
		config.InsecureSkipVerify = o.selfMade()
		cfg.TLS = config
	}
	c, err := clientv3.New(cfg)
	if err == nil {
		log.Info("create proxy client", zap.String("grpcProxyAdvertiseClientURL", o.advertise))
	}
	return c, err
}

// wrap gives the client the wrappers that were asked for. If there are any, reads and writes go through them.
func (o *options) wrap(ctx context.Context, c *clientv3.Client, log *zap.Logger) (through store, done func(), err error) {
	through, done = clientv3.RetryKVClient(c), func() {}
	if o.ordering {
		c.KV = ordering.NewKV(c.KV, ordering.NewOrderViolationSwitchEndpointClosure(c))
		through = wrapped{c.KV}
		if err := awaitOrder(ctx, c, log); err != nil {
			return nil, nil, err
		}
	}
	if o.namespace != "" {
		c.KV = namespace.NewKV(c.KV, o.namespace)
		c.Watcher = namespace.NewWatcher(c.Watcher, o.namespace)
		c.Lease = namespace.NewLease(c.Lease, o.namespace)
		through = wrapped{c.KV}
	}
	if o.leasing != "" {
		if c.KV, done, err = leasing.NewKV(c, o.leasing); err != nil {
			return nil, nil, err
		}
		through = wrapped{c.KV}
	}
	return through, done, nil
}

// awaitOrder makes the first read, which later ones must not be older than.
func awaitOrder(ctx context.Context, c *clientv3.Client, log *zap.Logger) error {
	log.Info("waiting for linearized read from cluster to recover ordering")
	for {
		_, err := c.KV.Get(ctx, "_", clientv3.WithKeysOnly())
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		log.Warn("ordering recovery failed, retrying in 1s", zap.Error(err))
		pause(ctx, time.Second)
	}
}
