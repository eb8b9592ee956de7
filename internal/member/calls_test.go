package member

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// rawCodec sends and receives messages as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = rawCodec{}

// TestEveryCallIsBuilt calls each method that is registered with an empty request.
func TestEveryCallIsBuilt(t *testing.T) {
	m := startMember(t, testConfig(t))
	conn := dial(t, m)
	for service, info := range m.rpc.GetServiceInfo() {
		for _, method := range info.Methods {
			full := "/" + service + "/" + method.Name
			if err := callEmpty(t.Context(), conn, full, method); status.Code(err) == codes.Unimplemented {
				t.Errorf("%s is not built: %v", full, err)
			}
		}
	}
}

// callEmpty calls a method with an empty message and returns its error. A stream
// that does not answer soon is built.
func callEmpty(ctx context.Context, conn *grpc.ClientConn, full string, method grpc.MethodInfo) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var request, answer []byte
	if !method.IsClientStream && !method.IsServerStream {
		return conn.Invoke(ctx, full, &request, &answer, grpc.ForceCodecV2(rawCodec{}))
	}
	ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, full, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return err
	}
	if err := s.SendMsg(&request); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return s.RecvMsg(&answer)
}
