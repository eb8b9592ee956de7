package ctl

import (
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// TestTheClientIsSilentWhenInterrupted: a call that a signal has ended is not warned of.
func TestTheClientIsSilentWhenInterrupted(t *testing.T) {
	var out strings.Builder
	signals := make(chan os.Signal, 1)
	env := &Env{Err: &out, Notify: func() (<-chan os.Signal, func()) { return signals, func() {} }}
	lg := env.untilInterrupted(newLogger(env.Err, zap.WarnLevel))
	ctx, stop := env.interruptible(context.Background())
	defer stop()
	lg.Info("below the level")
	lg.Warn("before")
	signals <- os.Interrupt
	<-ctx.Done()
	lg.Warn("after")
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"msg":"before"`) {
		t.Errorf("logged %s", text)
	}
}
