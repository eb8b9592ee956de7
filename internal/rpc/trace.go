package rpc

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"time"

	"bowline/internal/phase"
	"bowline/internal/recent"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// tellPhases is from when the log tells what a call's time went into, as etcd's does.
const tellPhases = 100 * time.Millisecond

// answering is what a call does after the last phase that somebody noted.
const answering = "read and answer"

// phasesOf returns the phases of a call that has ended, each with when it did.
func phasesOf(c *call) []phase.Step {
	steps := c.line.Steps()
	return append(steps[:len(steps):len(steps)], phase.Step{Name: answering, Ended: c.line.Began.Add(c.took)})
}

// durations are the phases of a call that has ended, each with how long it took.
func durations(c *call) []recent.Phase {
	var all []recent.Phase
	began := c.line.Began
	for _, s := range phasesOf(c) {
		all = append(all, recent.Phase{Name: s.Name, Took: s.Ended.Sub(began)})
		began = s.Ended
	}
	return all
}

// traceName is what etcd calls a call in its lines about phases.
func traceName(method string) string {
	switch method {
	case pb.KV_Txn_FullMethodName:
		return "transaction"
	case pb.KV_DeleteRange_FullMethodName:
		return "delete"
	}
	return strings.ToLower(path.Base(method))
}

// tellPhases writes the line about a slow call that tells where its time went.
func (m *member) tellPhases(c *call) {
	ce := m.Logger.Check(zap.InfoLevel, "")
	if ce == nil {
		return
	}
	ce.Message = "trace"
	var steps []string
	for _, p := range durations(c) {
		steps = append(steps, fmt.Sprintf("'%s'  (duration: %v)", p.Name, p.Took))
	}
	id := rand.Int32() //nolint:gosec // it only tells lines apart
	ce.Write(zap.Int32("trace_id", id), zap.String("operation", traceName(c.method)), zap.String("detail", detail(c)), zap.Duration("duration", c.took), zap.Time("start", c.line.Began),
		zap.Time("end", c.line.Began.Add(c.took)), zap.Strings("steps", steps), zap.Int("step_count", len(steps)))
}

// detail describes a call, without what was stored.
func detail(c *call) string {
	var parts []string
	if request := withoutValues(c.req); request != "" {
		parts = append(parts, "request:"+request)
	}
	if a, ok := c.resp.(*wire.Answer); ok && a != nil {
		parts = append(parts, fmt.Sprintf("response_size:%d", a.Len()))
	}
	if c.err != nil {
		parts = append(parts, "error:"+c.err.Error())
	}
	return "{" + strings.Join(parts, "; ") + "}"
}

// span adds the phases of a call to its trace, if it is one that is kept.
func (m *member) span(c *call) {
	if m.Tracer == nil {
		return
	}
	parent := trace.SpanFromContext(c.line)
	if !parent.IsRecording() {
		return
	}
	began := c.line.Began
	for _, s := range phasesOf(c) {
		_, child := m.Tracer.Start(c.line, s.Name, trace.WithTimestamp(began))
		child.End(trace.WithTimestamp(s.Ended))
		began = s.Ended
	}
}
