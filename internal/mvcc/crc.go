package mvcc

import "hash/crc32"

// CRCs of concatenations: crc(A||B) follows from crc(A), crc(B) and len(B), since
// appending n bytes multiplies a CRC, taken as a polynomial over GF(2), by x^8n
// modulo the generator. This is what lets HashKV run over records without
// reading their values.

// combiner combines CRC-32C sums. Not safe for concurrent use.
type combiner struct {
	// squares[i] is x^(2^i) modulo the generator, bit-reversed as CRCs are.
	squares [32]uint32
	// shifts caches x^(8n) for the lengths met so far.
	shifts map[int]uint32
}

func newCombiner() *combiner {
	c := &combiner{shifts: make(map[int]uint32)}
	c.squares[0] = 1 << 30 // x
	for i := 1; i < len(c.squares); i++ {
		c.squares[i] = multiply(c.squares[i-1], c.squares[i-1])
	}
	return c
}

// multiply returns a*b modulo the Castagnoli polynomial, all bit-reversed.
func multiply(a, b uint32) uint32 {
	var product uint32
	for bit := uint32(1) << 31; ; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
			if a&(bit-1) == 0 {
				return product
			}
		}
		if b&1 != 0 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
		if bit == 0 {
			return product
		}
	}
}

// shift returns x^(8n).
func (c *combiner) shift(n int) uint32 {
	if s, ok := c.shifts[n]; ok {
		return s
	}
	s := uint32(1) << 31 // 1
	for k, bits := 3, n; bits != 0; k, bits = k+1, bits>>1 {
		if bits&1 != 0 {
			s = multiply(c.squares[k%32], s)
		}
	}
	const remembered = 1 << 16
	if len(c.shifts) < remembered {
		c.shifts[n] = s
	}
	return s
}

// concat returns the CRC of A||B from those of A and B and B's length.
func (c *combiner) concat(a, b uint32, bLen int) uint32 {
	if bLen == 0 {
		return a
	}
	return multiply(c.shift(bLen), a) ^ b
}
