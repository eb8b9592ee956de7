package v2http

import (
	"bytes"
	"sync"
)

// buffers are for the bodies of requests and answers.
type buffers struct{ free sync.Pool }

// keptBuffer is the largest buffer that is kept to be used again.
const keptBuffer = 16 << 10

// get returns an empty buffer.
func (p *buffers) get() *bytes.Buffer {
	b, ok := p.free.Get().(*bytes.Buffer)
	if !ok {
		return new(bytes.Buffer)
	}
	b.Reset()
	return b
}

// put takes back a buffer, whose bytes nobody uses any more.
func (p *buffers) put(b *bytes.Buffer) {
	if b.Cap() <= keptBuffer {
		p.free.Put(b)
	}
}
