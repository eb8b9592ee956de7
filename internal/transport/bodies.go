package transport

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
)

// MaxPostBytes bounds the body of a message that comes by POST, and all of them that
// are held at a time: whoever reaches the peer port may send them. Large messages come
// over streams, which members open themselves.
const MaxPostBytes = 128 << 20

var errBodies = errors.New("transport: too much is being received at once")

// bodies counts what the bodies take that are being received or carried out.
type bodies struct{ held atomic.Int64 }

// read reads a whole body. What it takes counts until release is called, which must be
// done whatever the error is.
func (b *bodies) read(from io.Reader) (body []byte, release func(), err error) {
	var held int64
	release = func() { b.held.Add(-held) }
	var buf bytes.Buffer
	for {
		// A buffer that is full is grown to twice its size, and copied.
		grow := int64(max(buf.Cap(), bytes.MinRead))
		if buf.Available() >= bytes.MinRead {
			grow = 0
		}
		held += grow
		if b.held.Add(grow) > MaxPostBytes {
			return nil, release, errBodies
		}
		buf.Grow(bytes.MinRead)
		n, err := from.Read(buf.AvailableBuffer()[:buf.Available()])
		buf.Write(buf.AvailableBuffer()[:n])
		if errors.Is(err, io.EOF) {
			return buf.Bytes(), release, nil
		}
		if err != nil {
			return nil, release, err
		}
	}
}
