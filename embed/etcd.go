package embed

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"bowline/internal/config"
	"bowline/internal/member"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Etcd is a member that runs in this program.
type Etcd struct {
	// Peers and Clients are the listeners for other members and for clients; their addresses tell ports that were 0.
	Peers   []net.Listener
	Clients []net.Listener
	Server  *Server

	cfg      Config
	log      *zap.Logger
	closeLog io.Closer
	errc     chan error
	once     sync.Once // of Close
}

// StartEtcd starts a member and returns when its directory and its ports are its own; Server.ReadyNotify tells when it
// serves clients, which needs a majority of the cluster. What can be told at once is an error: settings that do not go
// together, a port in use, a directory that is another's. cfg is not changed, but for what its ZapLoggerBuilder does.
//
// It may wait for other members where cfg has it join a cluster.
func StartEtcd(cfg *Config) (*Etcd, error) {
	e := &Etcd{errc: make(chan error, 1)}
	inner, err := e.prepare(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.Server = &Server{ready: make(chan struct{}), stop: cancel, stopping: ctx.Done(), ended: make(chan struct{})}
	begun, failed := make(chan struct{}), make(chan error, 1)
	inner.Begun = func(m *member.Member) {
		e.Server.member = m
		e.Clients, e.Peers = m.Listeners()
		close(begun)
	}
	go e.run(ctx, inner, begun, failed)
	select {
	case <-begun:
		return e, nil
	case err := <-failed:
		<-e.Server.ended
		return nil, errors.Join(err, e.closeLog.Close())
	}
}

// prepare makes a member's configuration and its log.
func (e *Etcd) prepare(cfg *Config) (member.Config, error) {
	settings, lines, err := cfg.settings()
	if err != nil {
		return member.Config{}, err
	}
	var level *zap.AtomicLevel
	if e.log, level, e.closeLog, err = cfg.openLog(settings.Log); err != nil {
		return member.Config{}, err
	}
	e.cfg = *cfg
	e.cfg.logger = e.log
	for _, l := range lines {
		e.log.Log(min(l.Level, zapcore.ErrorLevel), l.Message, l.Fields...)
	}
	member.UseDefaultHost(settings, e.log)
	member.LogConfig(e.log, settings)
	inner, err := member.FromSettings(settings, e.log)
	if err != nil {
		return member.Config{}, errors.Join(err, e.closeLog.Close())
	}
	inner.Services, inner.Handlers = cfg.ServiceRegister, cfg.UserHandlers
	inner.GRPCOptions, inner.LogLevel = cfg.GRPCAdditionalServerOptions, level
	return inner, nil
}

// noCloser closes nothing.
type noCloser struct{}

// Close implements io.Closer.
func (noCloser) Close() error { return nil }

// openLog is the program's log, or one by the settings, whose level can be changed. A line at level fatal never ends
// the program.
func (c *Config) openLog(settings config.Log) (*zap.Logger, *zap.AtomicLevel, io.Closer, error) {
	if c.ZapLoggerBuilder != nil {
		if err := c.ZapLoggerBuilder(c); err != nil {
			return nil, nil, nil, err
		}
	}
	if c.logger != nil {
		return c.logger.WithOptions(zap.WithFatalHook(goOn{})), nil, noCloser{}, nil
	}
	log, level, closer, err := member.NewLogger(settings)
	if err != nil {
		return nil, nil, nil, err
	}
	return log.WithOptions(zap.WithFatalHook(goOn{})), &level, closer, nil
}

// goOn has the program go on after a line at level fatal.
type goOn struct{}

// OnWrite implements zapcore.CheckWriteHook.
func (goOn) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) {}

// run is the member's life.
func (e *Etcd) run(ctx context.Context, inner member.Config, begun <-chan struct{}, failed chan<- error) {
	defer close(e.Server.ended)
	defer e.Server.stop()
	m, err := member.Start(ctx, inner)
	if err != nil {
		select {
		case <-begun:
			e.report(ctx, err)
		default:
			failed <- err
		}
		return
	}
	close(e.Server.ready)
	select {
	case <-ctx.Done():
	case err := <-m.Failed():
		e.report(ctx, err)
		e.Server.stop()
	}
	if err := m.Stop(); err != nil {
		e.report(ctx, err)
	}
}

// report tells of the first failure that nobody has asked for.
func (e *Etcd) report(ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	e.log.Error("the embedded member has failed", zap.Error(err))
	select {
	case e.errc <- err:
	default:
	}
}

// Err delivers why the member failed, and is closed by Close.
func (e *Etcd) Err() <-chan error { return e.errc }

// Config is the configuration that the member was started with.
func (e *Etcd) Config() Config { return e.cfg }

// GetLogger is the member's log.
func (e *Etcd) GetLogger() *zap.Logger { return e.log }

// Close ends the member, in order, and waits for its end. It may be called more than once.
func (e *Etcd) Close() {
	e.once.Do(func() {
		e.Server.Stop()
		close(e.errc)
		if err := e.closeLog.Close(); err != nil {
			e.log.Warn("the log could not be closed", zap.Error(err))
		}
	})
}
