package rpc

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"
)

func phased(took time.Duration) *call {
	c := rangeCall(took)
	c.line.End("agree on a read index", c.line.Began.Add(took/2))
	return c
}

func TestPhasesOfSlowCallsAreTold(t *testing.T) {
	m, logs := measured(zap.InfoLevel, time.Hour)
	m.finished(countOf("Range"), phased(tellPhases))
	m.finished(countOf("Range"), phased(tellPhases+2))
	lines := logs.All()
	if len(lines) != 1 || lines[0].Message != "trace" {
		t.Fatalf("logged %v", lines)
	}
	got := lines[0].ContextMap()
	want := []any{"'agree on a read index'  (duration: 50.000001ms)", "'read and answer'  (duration: 50.000001ms)"}
	if !reflect.DeepEqual(got["steps"], want) || got["operation"] != "range" || got["step_count"] != int64(2) || got["duration"] != tellPhases+2 {
		t.Errorf("%v", got)
	}
	// protobuf varies the spaces in its texts.
	if d := strings.Join(strings.Fields(got["detail"].(string)), " "); d != `{request:key:"k" limit:3; response_size:27}` {
		t.Errorf("detail is %s", d)
	}
}

func TestPhasesAreSpansOfTracedCalls(t *testing.T) {
	kept := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(kept))
	m, _ := measured(zap.InfoLevel, time.Hour)
	m.Tracer = provider.Tracer("test")
	m.finished(countOf("Range"), phased(2*time.Second)) // without a span of its own
	if n := len(kept.Ended()); n != 0 {
		t.Fatalf("%d spans of a call that is not traced", n)
	}
	c := phased(2 * time.Second)
	ctx, span := m.Tracer.Start(c.line.Context, "call")
	c.line.Context = ctx
	m.finished(countOf("Range"), c)
	spans := kept.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want one for each phase", len(spans))
	}
	for i, name := range []string{"agree on a read index", answering} {
		s := spans[i]
		if s.Name() != name || s.EndTime().Sub(s.StartTime()) != time.Second || s.Parent().SpanID() != span.SpanContext().SpanID() {
			t.Errorf("span %s from %v to %v below %v", s.Name(), s.StartTime(), s.EndTime(), s.Parent())
		}
	}
}
