package ctl

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger writes JSON lines in the form of etcd's logs, so that one filter
// fits the tool and the server.
func newLogger(w io.Writer, level zapcore.Level) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), level)
	return zap.New(core, zap.AddCaller())
}

// untilInterrupted returns a log that falls silent when a signal has told the command to
// end: that a call under way fails then is nobody's trouble.
func (env *Env) untilInterrupted(lg *zap.Logger) *zap.Logger {
	enabled := lg.Core().Enabled
	return lg.WithOptions(zap.IncreaseLevel(zap.LevelEnablerFunc(func(l zapcore.Level) bool {
		return enabled(l) && !env.interrupted.Load()
	})))
}

// logFatal writes a line of level fatal and returns: how the process ends is
// decided in one place, which is not the logger.
func logFatal(lg *zap.Logger, msg string, fields ...zap.Field) {
	entry := zapcore.Entry{Level: zapcore.FatalLevel, Time: time.Now(), Message: msg}
	_ = lg.Core().Write(entry, fields)
}

// clientLogLevel is the level of the client library's log: ETCD_CLIENT_DEBUG,
// or warnings only.
func (env *Env) clientLogLevel() zapcore.Level {
	name := env.getenv("ETCD_CLIENT_DEBUG")
	if name == "true" {
		return zapcore.InfoLevel
	}
	level, err := zapcore.ParseLevel(name)
	if name == "" || err != nil {
		return zapcore.WarnLevel
	}
	return level
}
