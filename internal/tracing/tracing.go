// Package tracing sends spans to a collector, as OTLP over gRPC.
package tracing

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/stats"
)

// Config says what is traced, and where that goes.
type Config struct {
	// Address is that of the collector, which is spoken to without TLS. One that does
	// not answer costs nothing but the spans.
	Address string
	// Service and Instance name the cluster and this member in spans; Instance may be
	// empty.
	Service, Instance string
	// PerMillion is how many of a million calls are traced whose clients do not say
	// themselves whether they are.
	PerMillion int
}

// Spans collects spans and sends them in the background.
type Spans struct {
	provider *sdk.TracerProvider
}

// perMillion is what Config.PerMillion counts in.
const perMillion = 1_000_000

// Start begins to send. It does not wait for the collector.
func Start(ctx context.Context, c Config) (*Spans, error) {
	to, err := otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(c.Address))
	if err != nil {
		return nil, fmt.Errorf("tracing: the collector at %s: %w", c.Address, err)
	}
	about := []attribute.KeyValue{attribute.String("service.name", c.Service)}
	if c.Instance != "" {
		about = append(about, attribute.String("service.instance.id", c.Instance))
	}
	// What came with a call decides; otherwise chance does, and with none nobody is traced.
	own := sdk.NeverSample()
	if c.PerMillion > 0 {
		own = sdk.TraceIDRatioBased(float64(c.PerMillion) / perMillion)
	}
	return &Spans{provider: sdk.NewTracerProvider(
		sdk.WithBatcher(to),
		sdk.WithResource(resource.NewSchemaless(about...)),
		sdk.WithSampler(sdk.ParentBased(own)),
	)}, nil
}

// Handler makes a span of each call of a gRPC server.
func (s *Spans) Handler() stats.Handler {
	return otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(s.provider),
		otelgrpc.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	)
}

// Tracer makes the spans of what a call consists of.
func (s *Spans) Tracer() trace.Tracer { return s.provider.Tracer("bowline") }

// stopTimeout is how long the last spans may take to be sent.
const stopTimeout = 2 * time.Second

// Stop sends what is left, if the collector takes it in time.
func (s *Spans) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := s.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("tracing: send the last spans: %w", err)
	}
	return nil
}
