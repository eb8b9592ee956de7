package wire

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// ChunkBytes is the size of the pooled pieces of which large answers consist.
const ChunkBytes = 256 << 10

// smallBytes is how much of an answer is collected before pooled chunks are
// used: most answers are one key.
const smallBytes = 16 << 10

var chunkPool = sync.Pool{New: func() any { b := make([]byte, 0, ChunkBytes); return &b }}

// Answer collects an encoded message, in pieces when it is large, so that
// growing it never copies what is already there. The zero value is ready.
type Answer struct {
	full [][]byte
	cur  []byte
	// pooled are the chunks to give back, in the order of their use.
	pooled []*[]byte
	size   int
}

// Reserve makes room for n more bytes in one piece.
func (a *Answer) Reserve(n int) {
	if cap(a.cur)-len(a.cur) >= n {
		return
	}
	if a.pooled == nil && len(a.cur)+n <= smallBytes {
		grown := make([]byte, len(a.cur), max(len(a.cur)+n, min(2*cap(a.cur), smallBytes)))
		copy(grown, a.cur)
		a.cur = grown
		return
	}
	a.next(n)
}

// next puts the current piece away and starts one with room for n bytes.
func (a *Answer) next(n int) {
	if len(a.cur) > 0 {
		a.full = append(a.full, a.cur)
		a.size += len(a.cur)
	}
	if n > ChunkBytes {
		a.cur = make([]byte, 0, n)
		return
	}
	chunk := chunkPool.Get().(*[]byte)
	a.pooled = append(a.pooled, chunk)
	a.cur = (*chunk)[:0]
}

// Write appends raw bytes.
func (a *Answer) Write(b []byte) {
	a.Reserve(len(b))
	a.cur = append(a.cur, b...)
}

// Message appends a length-delimited field with a one-byte tag.
func (a *Answer) Message(tag byte, b []byte) {
	a.Reserve(len(b) + 11)
	a.cur = append(a.cur, tag)
	a.cur = protowire.AppendVarint(a.cur, uint64(len(b)))
	a.cur = append(a.cur, b...)
}

// Int appends a varint field unless it is zero.
func (a *Answer) Int(tag byte, v int64) {
	a.Reserve(11)
	a.cur = AppendInt(a.cur, tag, v)
}

// Bool appends a bool field unless it is false.
func (a *Answer) Bool(tag byte, v bool) {
	a.Reserve(2)
	a.cur = AppendBool(a.cur, tag, v)
}

// Len is the number of bytes collected.
func (a *Answer) Len() int { return a.size + len(a.cur) }

// Pieces returns the collected bytes in order. They stay valid until Release.
func (a *Answer) Pieces() [][]byte {
	if len(a.cur) == 0 {
		return a.full
	}
	return append(a.full[:len(a.full):len(a.full)], a.cur)
}

// Bytes returns the collected bytes in one slice, copied if they are in pieces.
func (a *Answer) Bytes() []byte {
	if len(a.full) == 0 {
		return a.cur
	}
	out := make([]byte, 0, a.Len())
	for _, p := range a.Pieces() {
		out = append(out, p...)
	}
	return out
}

// Release gives pooled memory back and empties the answer. Nobody may use its
// pieces afterwards.
func (a *Answer) Release() {
	for _, c := range a.pooled {
		chunkPool.Put(c)
	}
	*a = Answer{}
}
