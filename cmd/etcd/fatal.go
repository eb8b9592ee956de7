package main

import (
	"go.uber.org/zap/zapcore"
)

// ignoreFatal lets the process live on after a line at level fatal.
type ignoreFatal struct{}

// OnWrite implements zapcore.CheckWriteHook.
func (ignoreFatal) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) {}
