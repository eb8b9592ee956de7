package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"bowline/internal/config"

	"github.com/coreos/go-systemd/v22/journal"
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
		case "default", "stderr":
			sinks = append(sinks, zapcore.Lock(os.Stderr))
		case "systemd/journal":
			sinks = append(sinks, zapcore.Lock(zapcore.AddSync(&journalOutput{send: journal.Send, otherwise: os.Stderr})))
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
				return nil, nil, errors.Join(fmt.Errorf("open sink %q: %w", o, err), open.Close())
			}
			sinks, open = append(sinks, zapcore.Lock(f)), append(open, f)
		}
	}
	return zapcore.NewMultiWriteSyncer(sinks...), open, nil
}

// journalOutput gives lines to systemd's journal, each with its priority, or to the other
// output where there is no journal.
type journalOutput struct {
	send      func(message string, priority journal.Priority, vars map[string]string) error
	otherwise io.Writer
}

func (o *journalOutput) Write(line []byte) (int, error) {
	var of struct{ Level zapcore.Level }
	_ = json.Unmarshal(line, &of) // a line for the console is one of level info
	if err := o.send(strings.TrimSpace(string(line)), priorityOf(of.Level), nil); err != nil {
		return o.otherwise.Write(line)
	}
	return len(line), nil
}

func priorityOf(l zapcore.Level) journal.Priority {
	switch {
	case l <= zapcore.DebugLevel:
		return journal.PriDebug
	case l == zapcore.InfoLevel:
		return journal.PriInfo
	case l == zapcore.WarnLevel:
		return journal.PriWarning
	case l == zapcore.ErrorLevel:
		return journal.PriErr
	}
	return journal.PriCrit
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
