package member

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"bowline/internal/config"
	"bowline/internal/server"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"
)

// The log's encoding is what tools that read etcd's log expect: keys, time format,
// durations as text, sampling.
const (
	logTime       = "2006-01-02T15:04:05.000000Z0700"
	sampleFirst   = 100
	sampleThereby = 100
)

// NewLogger builds the log that the settings ask for. The level can be changed
// while it is used. Close it behind everything that writes to it.
func NewLogger(c config.Log) (*zap.Logger, zap.AtomicLevel, io.Closer, error) {
	level, err := zap.ParseAtomicLevel(c.Level)
	if err != nil {
		return nil, level, nil, fmt.Errorf("log level: %w", err)
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.TimeEncoderOfLayout(logTime)
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoding.TimeKey, encoding.MessageKey, encoding.StacktraceKey = "ts", "msg", "stacktrace"
	encoder := zapcore.NewJSONEncoder(encoding)
	if c.Format == "console" {
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	out, closer, err := logOutputs(c)
	if err != nil {
		return nil, level, nil, err
	}
	core := zapcore.NewSamplerWithOptions(zapcore.NewCore(encoder, out, level), time.Second, sampleFirst, sampleThereby)
	return zap.New(core, zap.AddCaller(), zap.AddStacktrace(zapcore.ErrorLevel), zap.ErrorOutput(out)), level, closer, nil
}

func logOutputs(c config.Log) (zapcore.WriteSyncer, io.Closer, error) {
	if slices.Contains(c.Outputs, "/dev/null") {
		return zapcore.AddSync(io.Discard), closers(nil), nil
	}
	var sinks []zapcore.WriteSyncer
	var open closers
	for _, o := range c.Outputs {
		switch o {
		case "default", "stderr", "systemd/journal":
			// The journal takes what a service writes to its standard error.
			sinks = append(sinks, zapcore.Lock(os.Stderr))
		case "stdout":
			sinks = append(sinks, zapcore.Lock(os.Stdout))
		default:
			if c.Rotation != nil {
				l := rotated(o, c.Rotation)
				sinks, open = append(sinks, zapcore.AddSync(l)), append(open, l)
				continue
			}
			f, err := os.OpenFile(o, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return nil, nil, errors.Join(fmt.Errorf("log output: %w", err), open.Close())
			}
			sinks, open = append(sinks, zapcore.Lock(f)), append(open, f)
		}
	}
	return zapcore.NewMultiWriteSyncer(sinks...), open, nil
}

func rotated(path string, r *config.Rotation) *lumberjack.Logger {
	return &lumberjack.Logger{Filename: path, MaxSize: r.MaxSizeMB, MaxAge: r.MaxAgeDays,
		MaxBackups: r.MaxBackups, LocalTime: r.LocalTime, Compress: r.Compress}
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, x := range c {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// LogConfig writes the line that shows the whole configuration, without what must
// stay secret.
func LogConfig(log *zap.Logger, c *config.Config) {
	shown := *c
	if shown.Discovery.Password != "" {
		shown.Discovery.Password = "(set)"
	}
	log.Info("starting an etcd server", zap.String("etcd-version", server.Version), zap.String("go-version", runtime.Version()),
		zap.String("go-os", runtime.GOOS), zap.String("go-arch", runtime.GOARCH), zap.Int("max-cpu-available", runtime.NumCPU()),
		zap.String("name", c.Member.Name), zap.String("data-dir", c.Member.DataDir), zap.Any("settings", shown))
}
