package proxy

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// frame is a message that is passed on as it came.
type frame struct{ data mem.BufferSlice }

// codec encodes messages, and leaves frames as they are.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *frame:
		return m.data, nil // gRPC gives back what it has sent
	case proto.Message:
		b, err := proto.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("proxy: encode %T: %w", v, err)
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return nil, fmt.Errorf("proxy: cannot encode %T", v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *frame:
		data.Ref()
		m.data = data
		return nil
	case proto.Message:
		b := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer b.Free()
		if err := proto.Unmarshal(b.ReadOnlyData(), m); err != nil {
			return fmt.Errorf("proxy: decode %T: %w", v, err)
		}
		return nil
	}
	return fmt.Errorf("proxy: cannot decode into %T", v)
}
