package tracing

import (
	"context"
	"net"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// sink is a collector.
type sink struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (s *sink) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.got <- req
	return &collector.ExportTraceServiceResponse{}, nil
}

func startSink(t *testing.T) (*sink, string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, to := grpc.NewServer(), &sink{got: make(chan *collector.ExportTraceServiceRequest, 10)}
	collector.RegisterTraceServiceServer(s, to)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return to, l.Addr().String()
}

func TestSpansReachTheCollector(t *testing.T) {
	to, address := startSink(t)
	spans, err := Start(t.Context(), Config{Address: address, Service: "store", Instance: "m1", PerMillion: perMillion})
	if err != nil {
		t.Fatal(err)
	}
	_, span := spans.Tracer().Start(t.Context(), "put")
	span.End()
	if err := spans.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case req := <-to.got:
		r := req.GetResourceSpans()[0]
		about := map[string]string{}
		for _, a := range r.GetResource().GetAttributes() {
			about[a.GetKey()] = a.GetValue().GetStringValue()
		}
		if about["service.name"] != "store" || about["service.instance.id"] != "m1" {
			t.Errorf("resource is %v", about)
		}
		if name := r.GetScopeSpans()[0].GetSpans()[0].GetName(); name != "put" {
			t.Errorf("the span is %q", name)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
}

// TestClientsDecideWhatIsTraced: with a rate of 0 only calls are kept whose client's trace
// is.
func TestClientsDecideWhatIsTraced(t *testing.T) {
	_, address := startSink(t)
	spans, err := Start(t.Context(), Config{Address: address, Service: "store"})
	if err != nil {
		t.Fatal(err)
	}
	_, own := spans.Tracer().Start(t.Context(), "own")
	if own.IsRecording() {
		t.Error("a call without a trace is kept")
	}
	theirs := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	_, below := spans.Tracer().Start(trace.ContextWithRemoteSpanContext(t.Context(), theirs), "theirs")
	if !below.IsRecording() {
		t.Error("a call of a kept trace is not kept")
	}
	if err := spans.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestNoCollector shows that one that is not there neither hinders the start nor keeps
// the end waiting.
func TestNoCollector(t *testing.T) {
	spans, err := Start(t.Context(), Config{Address: "127.0.0.1:1", Service: "store", PerMillion: perMillion})
	if err != nil {
		t.Fatal(err)
	}
	_, span := spans.Tracer().Start(t.Context(), "lost")
	span.End()
	began := time.Now()
	if err := spans.Stop(t.Context()); err == nil {
		t.Error("spans that nobody took are not told of")
	}
	if took := time.Since(began); took > 2*stopTimeout {
		t.Errorf("the end took %v", took)
	}
}
