package member

import (
	"context"

	"bowline/internal/rpc"
	"bowline/internal/tracing"

	"go.uber.org/zap"
)

// openTracing begins to send spans, if that is asked for.
func (m *Member) openTracing(ctx context.Context) (err error) {
	t := m.cfg.Tracing
	if !t.Enabled {
		return nil
	}
	m.spans, err = tracing.Start(ctx, tracing.Config{Address: t.Address, Service: t.ServiceName, Instance: t.InstanceID, PerMillion: t.PerMillion})
	if err == nil {
		m.log.Info("distributed tracing enabled", zap.String("address", t.Address), zap.String("service-name", t.ServiceName),
			zap.String("service-instance-id", t.InstanceID), zap.Int("sampling-rate", t.PerMillion))
	}
	return err
}

// traced has the calls of clients make spans.
func (m *Member) traced(c rpc.Config) rpc.Config {
	if m.spans != nil {
		c.Calls, c.Tracer = m.spans.Handler(), m.spans.Tracer()
	}
	return c
}

func (m *Member) closeTracing() {
	if m.spans == nil {
		return
	}
	if err := m.spans.Stop(context.Background()); err != nil {
		m.log.Warn("spans are lost", zap.Error(err))
	}
}
