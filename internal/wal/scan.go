package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// scanBytes is how much a scanner reads at a time.
const scanBytes = 256 << 10

// scanner reads the records of one segment in order and verifies them against the running checksum.
type scanner struct {
	name string
	file vfs.File
	end  int64  // reading stops here: the file's size, or what was flushed
	crc  uint32 // running; zero means that any checksum record is believed, which is how a scan starts
	pos  int64  // offset of the next frame

	buf      []byte
	bufStart int64 // file offset of buf[0]
}

// damage is a record that cannot be read. It may be the end that a crash left behind.
type damage struct {
	offset int64
	reason string
	torn   bool // it looks like a write that a crash interrupted
}

func (d *damage) Error() string { return fmt.Sprintf("offset %d: %s", d.offset, d.reason) }

// window returns the n bytes at offset off, which must lie before s.end, and as much behind them as is buffered.
func (s *scanner) window(off, n int64) ([]byte, error) {
	if at := off - s.bufStart; at >= 0 && at+n <= int64(len(s.buf)) {
		return s.buf[at : at+n], nil
	}
	want := min(max(n, scanBytes), s.end-off)
	if int64(cap(s.buf)) < want {
		s.buf = make([]byte, want)
	}
	s.buf = s.buf[:want]
	s.bufStart = off
	if got, err := s.file.ReadAt(s.buf, off); int64(got) < want {
		s.buf = s.buf[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("wal: read %s at offset %d: %w", s.name, off, err)
	}
	return s.buf[:n], nil
}

// next returns the next record, io.EOF at a clean end, a *damage, or an error of the file.
func (s *scanner) next() (record, error) {
	if s.end-s.pos < frameHeaderBytes {
		return s.shortTail()
	}
	head, err := s.window(s.pos, frameHeaderBytes)
	if err != nil {
		return record{}, err
	}
	field := binary.LittleEndian.Uint64(head)
	if field == 0 {
		return record{}, io.EOF
	}
	size, pad := frameLength(field)
	if size+pad > s.end-s.pos-frameHeaderBytes {
		return record{}, &damage{s.pos, fmt.Sprintf("a record of %d bytes runs past the end of the file", size), true}
	}
	if pad != -size&7 {
		return record{}, &damage{s.pos, fmt.Sprintf("length field %#016x is impossible", field), false}
	}
	frame, err := s.window(s.pos, frameHeaderBytes+size+pad)
	if err != nil {
		return record{}, err
	}
	body := frame[frameHeaderBytes : frameHeaderBytes+size]
	rec, bad := s.verify(body)
	if bad != "" {
		return record{}, &damage{s.pos, bad, hasZeroSector(body, s.pos+frameHeaderBytes)}
	}
	if !allZero(frame[frameHeaderBytes+size:]) {
		return record{}, &damage{s.pos, "the padding is not zero", false}
	}
	rec.offset = s.pos
	s.pos += int64(len(frame))
	s.crc = rec.crc
	return rec, nil
}

// shortTail judges fewer bytes than a frame header has: zeros are a clean end.
func (s *scanner) shortTail() (record, error) {
	if s.end == s.pos {
		return record{}, io.EOF
	}
	rest, err := s.window(s.pos, s.end-s.pos)
	if err != nil {
		return record{}, err
	}
	if allZero(rest) {
		return record{}, io.EOF
	}
	return record{}, &damage{s.pos, "part of a length field", true}
}

// verify decodes a record and checks it against the chain. It returns what is wrong, if anything is.
func (s *scanner) verify(body []byte) (record, string) {
	rec, err := decodeRecord(body)
	if err != nil {
		return rec, "record: " + err.Error()
	}
	rec.before = s.crc
	switch {
	case rec.kind == recordCRC:
		if s.crc != 0 && rec.crc != s.crc {
			return rec, fmt.Sprintf("checksum record says %#08x, computed %#08x", rec.crc, s.crc)
		}
	default:
		if sum := crc32.Update(s.crc, castagnoli, rec.data); sum != rec.crc {
			return rec, fmt.Sprintf("checksum mismatch: stored %#08x, computed %#08x", rec.crc, sum)
		}
	}
	return rec, ""
}

func frameLength(field uint64) (size, pad int64) {
	size = int64(field & (1<<56 - 1))
	switch top := byte(field >> 56); {
	case top > 0x80:
		pad = int64(top & 0x7f)
	case top != 0:
		pad = -1 // not written by anyone: never equals the padding that size asks for
	}
	return size, pad
}

// hasZeroSector reports whether one of the disk sectors that body is spread over holds nothing but zeros of it: that
// part may never have been written.
func hasZeroSector(body []byte, offset int64) bool {
	for len(body) > 0 {
		n := min(int64(len(body)), sectorBytes-offset%sectorBytes)
		if allZero(body[:n]) {
			return true
		}
		body, offset = body[n:], offset+n
	}
	return false
}

var zeros [4096]byte

func allZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if !bytes.Equal(b[:n], zeros[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// tail judges what follows the frame at offset: is there anything but zeros, and does a checksum record with its
// successor say that what precedes it was durable? Two records that continue each other's checksum are not met by chance.
func (s *scanner) tail(offset int64) (zero bool, durableBefore int64, err error) {
	zero = true
	for at := offset; zero && at < s.end; {
		part, err := s.window(at, min(scanBytes, s.end-at))
		if err != nil {
			return false, 0, err
		}
		zero, at = allZero(part), at+int64(len(part))
	}
	if zero {
		return true, 0, nil
	}
	rest := make([]byte, s.end-offset)
	if n, err := s.file.ReadAt(rest, offset); n < len(rest) {
		return false, 0, fmt.Errorf("wal: read %s at offset %d: %w", s.name, offset, err)
	}
	for at := int64(frameHeaderBytes); at+barrierBytes+frameHeaderBytes <= int64(len(rest)); at += 8 {
		if isBarrier(rest[at:]) {
			return false, offset + at, nil
		}
	}
	return false, 0, nil
}

// isBarrier reports whether b begins with a checksum record and a record that continues it.
func isBarrier(b []byte) bool {
	if b[8] != 0x08 || b[9] != recordCRC {
		return false
	}
	size, pad := frameLength(binary.LittleEndian.Uint64(b))
	if size < 4 || size > 8 || pad != -size&7 {
		return false
	}
	barrier, err := decodeRecord(b[frameHeaderBytes : frameHeaderBytes+size])
	if err != nil || barrier.kind != recordCRC {
		return false
	}
	b = b[barrierBytes:]
	size, pad = frameLength(binary.LittleEndian.Uint64(b))
	if size == 0 || pad != -size&7 || size+pad > int64(len(b)-frameHeaderBytes) {
		return false
	}
	next, err := decodeRecord(b[frameHeaderBytes : frameHeaderBytes+size])
	return err == nil && next.kind != recordCRC && crc32.Update(barrier.crc, castagnoli, next.data) == next.crc
}
