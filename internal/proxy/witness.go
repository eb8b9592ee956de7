package proxy

import (
	"context"
	"path"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// witness writes a call's messages to the log.
type witness struct {
	log    *zap.Logger
	method method
	secret bool // its messages hold passwords or tokens
}

// witness is nil unless calls are to be logged.
func (p *proxy) witness(ctx context.Context, full string) *witness {
	if !p.logCalls {
		return nil
	}
	fields := []zap.Field{zap.String("grpc.service", strings.TrimPrefix(path.Dir(full), "/")), zap.String("grpc.method", path.Base(full))}
	if from, ok := peer.FromContext(ctx); ok {
		fields = append(fields, zap.String("peer.address", from.Addr.String()))
	}
	return &witness{p.log.With(fields...), p.figures.methods[full], strings.HasPrefix(full, "/etcdserverpb.Auth/")}
}

// see writes one message. Those of the Auth service are not shown: they hold passwords and tokens.
func (w *witness) see(received bool, message any, err error) {
	if w == nil {
		return
	}
	kind, line := "response", "returned response payload logged as grpc.response.content field"
	if received {
		kind, line = "request", "received payload logged as grpc.request.content field"
	}
	var fields []zap.Field
	if err != nil {
		fields = append(fields, zap.NamedError("grpc."+kind+".error", err))
	}
	content := "(hidden)"
	if !w.secret {
		content = w.render(received, message)
	}
	w.log.Info(line, append(fields, zap.String("grpc."+kind+".content", content))...)
}

func (w *witness) render(received bool, message any) string {
	m, ok := message.(proto.Message)
	if f, raw := message.(*frame); raw {
		m, ok = w.decode(received, f.data)
	}
	if !ok || m == nil || !m.ProtoReflect().IsValid() {
		return ""
	}
	return protojson.Format(m)
}

// decode reads a message that is passed on.
func (w *witness) decode(received bool, data mem.BufferSlice) (proto.Message, bool) {
	typ := w.method.response
	if received {
		typ = w.method.request
	}
	if typ == nil || len(data) == 0 {
		return nil, false
	}
	m := newMessage(typ)
	return m, proto.Unmarshal(data.Materialize(), m) == nil
}

func newMessage(t protoreflect.MessageType) proto.Message { return t.New().Interface() }
