package rpc

import (
	"fmt"
	"sync/atomic"

	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec is what the gRPC server encodes and decodes with, counting bytes.
type codec struct{ received, sent *atomic.Int64 }

// encoded is a message in parts that are encoded already and shared with others:
// nobody may modify them.
type encoded [][]byte

// request is a message that is also wanted in its encoding: msg is decoded from
// raw, which belongs to the request.
type request struct {
	msg proto.Message
	raw []byte
}

func (codec) Name() string { return "proto" }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	out, err := encode(v)
	if err == nil {
		c.sent.Add(int64(out.Len()))
	}
	return out, err
}

func encode(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *wire.Answer:
		return answerBuffers(m), nil
	case encoded:
		out := make(mem.BufferSlice, len(m))
		for i, part := range m {
			out[i] = mem.SliceBuffer(part)
		}
		return out, nil
	case proto.Message:
		b, err := proto.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("rpc: encode %T: %w", v, err)
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return nil, fmt.Errorf("rpc: cannot encode %T", v)
}

// answerBuffers hands an answer's pieces to gRPC, which gives pooled memory back
// when it has sent them.
func answerBuffers(a *wire.Answer) mem.BufferSlice {
	var out mem.BufferSlice
	a.Take(func(data []byte, chunk *[]byte) {
		if chunk == nil {
			out = append(out, mem.SliceBuffer(data))
			return
		}
		*chunk = data
		out = append(out, mem.NewBuffer(chunk, chunkPool{}))
	})
	return out
}

// chunkPool takes back the chunks of answers.
type chunkPool struct{}

func (chunkPool) Get(n int) *[]byte { b := make([]byte, n); return &b }
func (chunkPool) Put(b *[]byte)     { wire.PutChunk(b) }

// Unmarshal decodes a received message. gRPC frees data afterwards, so nothing
// of it is kept.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	c.received.Add(int64(data.Len()))
	switch m := v.(type) {
	case *request:
		m.raw = data.Materialize()
		switch r := m.msg.(type) {
		case *pb.PutRequest:
			return wire.DecodePut(m.raw, r)
		case *pb.RangeRequest:
			return wire.DecodeRange(m.raw, r)
		}
		return proto.Unmarshal(m.raw, m.msg)
	case proto.Message:
		b := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer b.Free()
		return proto.Unmarshal(b.ReadOnlyData(), m) // as it is: gRPC tells the client
	}
	return fmt.Errorf("rpc: cannot decode into %T", v)
}
