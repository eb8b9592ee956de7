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
	// shifts caches multiples of x^(8n) for the lengths met so far.
	shifts map[int]*multiples
}

// multiples are the products of a polynomial with those of a degree below four, which are
// numbered as their bits stand at the low end of a CRC: 8 is 1, and 1 is x^3.
type multiples [16]uint32

// carries[n] is what the four bits n, shifted out of a CRC, add to it.
var carries = func() (c multiples) {
	for n := range c {
		c[n] = uint32(n)
		for range 4 {
			c[n] = c[n]>>1 ^ crc32.Castagnoli&-(c[n]&1)
		}
	}
	return c
}()

func multiplesOf(a uint32) *multiples {
	m := &multiples{8: a}
	for n := 4; n > 0; n /= 2 {
		a = a>>1 ^ crc32.Castagnoli&-(a&1)
		m[n] = a
	}
	for n := range m {
		low := n & -n
		m[n] = m[low] ^ m[n^low]
	}
	return m
}

// times returns the product with b.
func (m *multiples) times(b uint32) (product uint32) {
	for range 8 {
		product = product>>4 ^ carries[product&15] ^ m[b&15]
		b >>= 4
	}
	return product
}

func newCombiner() *combiner {
	c := &combiner{shifts: make(map[int]*multiples)}
	c.squares[0] = 1 << 30 // x
	for i := 1; i < len(c.squares); i++ {
		c.squares[i] = multiply(c.squares[i-1], c.squares[i-1])
	}
	return c
}

// multiply returns a*b modulo the Castagnoli polynomial, all bit-reversed.
func multiply(a, b uint32) uint32 { return multiplesOf(a).times(b) }

// shift returns the multiples of x^(8n).
func (c *combiner) shift(n int) *multiples {
	if m, ok := c.shifts[n]; ok {
		return m
	}
	s := uint32(1) << 31 // 1
	for k, bits := 3, n; bits != 0; k, bits = k+1, bits>>1 {
		if bits&1 != 0 {
			s = multiply(c.squares[k%32], s)
		}
	}
	m := multiplesOf(s)
	const remembered = 1 << 12
	if len(c.shifts) < remembered {
		c.shifts[n] = m
	}
	return m
}

// concat returns the CRC of A||B from those of A and B and B's length.
func (c *combiner) concat(a, b uint32, bLen int) uint32 {
	if bLen == 0 {
		return a
	}
	return c.shift(bLen).times(a) ^ b
}
