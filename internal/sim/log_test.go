package sim

import (
	"fmt"

	"go.uber.org/zap/zapcore"
)

// notes is where members' logs go: errors become steps of the trace.
type notes struct {
	zapcore.LevelEnabler
	w    *world
	with []zapcore.Field
}

func (n notes) With(fields []zapcore.Field) zapcore.Core {
	n.with = append(n.with[:len(n.with):len(n.with)], fields...)
	return n
}

func (n notes) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if n.Enabled(e.Level) {
		return c.AddCore(e, n)
	}
	return c
}

func (n notes) Write(e zapcore.Entry, fields []zapcore.Field) error {
	all := zapcore.NewMapObjectEncoder()
	for _, f := range append(n.with[:len(n.with):len(n.with)], fields...) {
		f.AddTo(all)
	}
	n.w.note("log of %s: %s %s", e.LoggerName, e.Message, fmt.Sprint(all.Fields))
	return nil
}

func (notes) Sync() error { return nil }
