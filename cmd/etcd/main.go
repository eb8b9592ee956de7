// Command etcd runs one member of a cluster, or one of the programs that stand before a cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"bowline/internal/config"
	"bowline/internal/member"
	"bowline/internal/server"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

func main() { os.Exit(run(os.Args[1:], os.Environ())) }

// run is the life of the process: settings, log, member, signal.
func run(args, environ []string) int {
	if isOutpost(args) {
		return outposts(args)
	}
	settings, lines, err := config.Parse(args, environ)
	if err != nil {
		return refuse(lines, err)
	}
	log, level, closeLog, err := member.NewLogger(settings.Log)
	if err != nil {
		failed := config.Line{Level: zap.WarnLevel, Message: "failed to verify flags", Fields: []zap.Field{zap.Error(err)}}
		return refuse(append(lines, failed), &config.Exit{Code: 1})
	}
	defer closeLog.Close()
	allowGarbage()
	useLessMalloc()
	for _, l := range lines {
		log.Log(l.Level, l.Message, l.Fields...)
	}
	if err := checkArch(environ); err != nil {
		log.Error("refusing to start", zap.Error(err))
		return 1
	}
	member.UseDefaultHost(settings, log)
	member.LogConfig(log, settings)
	cfg, err := member.FromSettings(settings, log)
	cfg.LogLevel, cfg.TraceCalls = &level, level.Level() == zap.DebugLevel
	grpc.EnableTracing = cfg.TraceCalls
	if err == nil {
		return serve(cfg, log)
	}
	return failStart(log, err)
}

// failStart ends the process as etcd does, with a message that tools look for
// whatever the cause.
func failStart(log *zap.Logger, err error) int {
	var failed *member.DiscoveryError
	if errors.As(err, &failed) {
		log.Warn("failed to bootstrap; discovery token was already used", zap.String("discovery-token", failed.Token),
			zap.Strings("discovery-endpoints", failed.Endpoints), zap.Error(err))
		log.Warn("do not reuse discovery token; generate a new one to bootstrap a cluster")
		return 1
	}
	log.Fatal("discovery failed", zap.Error(err))
	return 1
}

func serve(cfg member.Config, log *zap.Logger) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	m, sig, err := start(cfg, signals)
	if sig != nil {
		log.Info("received signal while starting; shut down", zap.String("signal", sig.String()))
		return dieOf(sig)
	}
	if err != nil {
		return failStart(log, err)
	}
	notifySystemd(log)
	select {
	case sig := <-signals:
		log.Info("received signal; shutting down", zap.String("signal", sig.String()))
		if err := m.Stop(); err != nil {
			log.Error("the member did not stop cleanly", zap.Error(err))
		}
		return dieOf(sig)
	case err := <-m.Failed():
		// Whatever can still be written is; then the process must not go on.
		stopErr := m.Stop()
		if errors.Is(err, member.ErrRemoved) {
			return 0 // as it should be
		}
		log.Fatal("the member cannot go on", zap.Error(errors.Join(err, stopErr)))
		return 1
	}
}

// start starts the member, which may have to wait for others for a long time. A signal
// ends the start.
func start(cfg member.Config, signals <-chan os.Signal) (m *member.Member, sig os.Signal, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m, err = member.Start(ctx, cfg)
	}()
	select {
	case <-done:
	case sig = <-signals:
		cancel()
		<-done
		if m != nil {
			err = m.Stop()
		}
	}
	return m, sig, err
}

// dieOf ends the process as the signal would have, so that whoever waits for it
// sees the reason; as process 1, whose default is to ignore signals, it exits.
func dieOf(sig os.Signal) int {
	s, ok := sig.(syscall.Signal)
	if os.Getpid() == 1 || !ok {
		return 0
	}
	signal.Reset(s)
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		return 1
	}
	select {} // until the signal arrives
}

func notifySystemd(log *zap.Logger) {
	log.Info("notifying init daemon")
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Error("failed to notify systemd for readiness", zap.Error(err))
		return
	}
	log.Info("successfully notified init daemon")
}

// refuse prints what is wrong with the settings and returns the exit code.
func refuse(lines []config.Line, err error) int {
	if errors.Is(err, config.ErrVersion) {
		fmt.Printf("etcd Version: %s\nGit SHA: %s\nGo Version: %s\nGo OS/Arch: %s/%s\n",
			server.Version, "bowline", runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return 0
	}
	var exit *config.Exit
	if !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprint(os.Stderr, exit.Stderr)
	fmt.Fprint(os.Stdout, exit.Stdout)
	early, _, closeLog, err := member.NewLogger(config.Log{Level: "info", Format: "json", Outputs: []string{"stderr"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer closeLog.Close()
	// A fatal line would end the process before its exit code is known.
	early = early.WithOptions(zap.WithFatalHook(ignoreFatal{}))
	for _, l := range lines {
		early.Log(l.Level, l.Message, l.Fields...)
	}
	return exit.Code
}

// checkArch refuses architectures that nobody tests, as etcd does.
func checkArch(environ []string) error {
	if slices.Contains([]string{"amd64", "arm64", "ppc64le", "s390x"}, runtime.GOARCH) ||
		slices.Contains(environ, "ETCD_UNSUPPORTED_ARCH="+runtime.GOARCH) {
		return nil
	}
	return fmt.Errorf("etcd on unsupported platform without ETCD_UNSUPPORTED_ARCH=%s set", runtime.GOARCH)
}
