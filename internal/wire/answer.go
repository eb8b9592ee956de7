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
	full  []piece
	cur   []byte
	chunk *[]byte // the pooled memory behind cur, if any
	size  int
}

// piece is a finished part of an answer and the pooled memory behind it, if any.
type piece struct {
	data  []byte
	chunk *[]byte
}

// Reserve makes room for n more bytes in one piece.
func (a *Answer) Reserve(n int) {
	if cap(a.cur)-len(a.cur) >= n {
		return
	}
	if a.chunk == nil && len(a.full) == 0 && len(a.cur)+n <= smallBytes {
		grown := make([]byte, len(a.cur), max(len(a.cur)+n, min(2*cap(a.cur), smallBytes)))
		copy(grown, a.cur)
		a.cur = grown
		return
	}
	a.next(n)
}

// next puts the current piece away and starts one with room for n bytes.
func (a *Answer) next(n int) {
	a.putAway()
	if n > ChunkBytes {
		a.cur = make([]byte, 0, n)
		return
	}
	a.chunk = chunkPool.Get().(*[]byte)
	a.cur = (*a.chunk)[:0]
}

func (a *Answer) putAway() {
	if len(a.cur) > 0 {
		a.full = append(a.full, piece{a.cur, a.chunk})
		a.size += len(a.cur)
	} else if a.chunk != nil {
		chunkPool.Put(a.chunk)
	}
	a.cur, a.chunk = nil, nil
}

// Write appends raw bytes.
func (a *Answer) Write(b []byte) {
	a.Reserve(len(b))
	a.cur = append(a.cur, b...)
}

// Header appends h as field 1.
func (a *Answer) Header(h Header) {
	a.Reserve(maxHeaderField)
	a.cur = h.AppendField(a.cur)
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

// Revision is that of the header with which the answer begins, 0 if it does not.
func (a *Answer) Revision() int64 {
	b := a.cur
	if len(a.full) > 0 {
		b = a.full[0].data
	}
	const header, revision = 1, 3
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != header || typ != protowire.BytesType {
		return 0
	}
	h, _ := protowire.ConsumeBytes(b[n:])
	var at int64
	eachField(h, func(num protowire.Number, v uint64) {
		if num == revision {
			at = int64(v)
		}
	})
	return at
}

// Len is the number of bytes collected.
func (a *Answer) Len() int { return a.size + len(a.cur) }

// Bytes returns the collected bytes in one slice, copied if they are in pieces.
// It is valid until Release.
func (a *Answer) Bytes() []byte {
	if len(a.full) == 0 {
		return a.cur
	}
	out := make([]byte, 0, a.Len())
	for _, p := range a.full {
		out = append(out, p.data...)
	}
	return append(out, a.cur...)
}

// EachField calls f with the number of each field of the message and, if it is a
// varint, with its value. The answer must consist of whole fields, as one that is
// built by Header, Message, Int and Bool does; f is not called for what follows
// something else.
func (a *Answer) EachField(f func(num protowire.Number, v uint64)) {
	for _, p := range a.full {
		if !eachField(p.data, f) {
			return
		}
	}
	eachField(a.cur, f)
}

func eachField(b []byte, f func(num protowire.Number, v uint64)) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		var v uint64
		if typ == protowire.VarintType {
			v, _ = protowire.ConsumeVarint(b[n:])
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return false
		}
		f(num, v)
		b = b[n+m:]
	}
	return true
}

// Take hands each piece over, in order, and empties the answer. If chunk is not
// nil, data is its beginning and the receiver gives it back with PutChunk.
func (a *Answer) Take(f func(data []byte, chunk *[]byte)) {
	a.putAway()
	for _, p := range a.full {
		f(p.data, p.chunk)
	}
	*a = Answer{}
}

// PutChunk gives a chunk back that Take has handed out.
func PutChunk(chunk *[]byte) {
	if cap(*chunk) == ChunkBytes {
		*chunk = (*chunk)[:0]
		chunkPool.Put(chunk)
	}
}

// Release gives pooled memory back and empties the answer. Nobody may use its
// bytes afterwards.
func (a *Answer) Release() {
	a.Take(func(_ []byte, chunk *[]byte) {
		if chunk != nil {
			PutChunk(chunk)
		}
	})
}

// Append moves the pieces of b behind those of a, without copying, and empties b.
func (a *Answer) Append(b *Answer) {
	a.putAway()
	b.Take(func(data []byte, chunk *[]byte) {
		a.full = append(a.full, piece{data, chunk})
		a.size += len(data)
	})
}
