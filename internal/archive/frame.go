package archive

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A piece is a magic text and frames: kind, size of the content, size of the payload,
// checksum of those and the payload, payload. The payload is the content, deflated.
const (
	magic     = "BOWLARC1"
	frameHead = 1 + 4 + 4 + 4
	// chunkBytes is how much content a data frame is meant to hold, and maxContent how
	// much one may, for an entry is never split.
	chunkBytes = 256 << 10
	maxContent = 64 << 20
)

const (
	frameHeader = 'H' // what the piece is: JSON
	frameData   = 'D'
	frameEnd    = 'E' // there is nothing behind it
)

func castagnoli(head, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, table), table, payload)
}

// pieceWriter writes a piece.
type pieceWriter struct {
	w        io.Writer
	deflated bytes.Buffer
	deflater *flate.Writer
}

func newPieceWriter(w io.Writer, h *header) (*pieceWriter, error) {
	p := &pieceWriter{w: w}
	var err error
	if p.deflater, err = flate.NewWriter(&p.deflated, flate.BestSpeed); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, err
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return p, p.frame(frameHeader, text)
}

func (p *pieceWriter) frame(kind byte, content []byte) error {
	if len(content) > maxContent {
		return fmt.Errorf("%d bytes are too much for a frame", len(content))
	}
	p.deflated.Reset()
	p.deflater.Reset(&p.deflated)
	if _, err := p.deflater.Write(content); err != nil {
		return err
	}
	if err := p.deflater.Close(); err != nil {
		return err
	}
	head := append(make([]byte, 0, frameHead), kind)
	head = binary.BigEndian.AppendUint32(head, uint32(len(content)))
	head = binary.BigEndian.AppendUint32(head, uint32(p.deflated.Len()))
	head = binary.BigEndian.AppendUint32(head, castagnoli(head, p.deflated.Bytes()))
	if _, err := p.w.Write(head); err != nil {
		return err
	}
	_, err := p.w.Write(p.deflated.Bytes())
	return err
}

// Write makes a data frame of b, which must not be larger than maxContent.
func (p *pieceWriter) Write(b []byte) (int, error) { return len(b), p.frame(frameData, b) }

func (p *pieceWriter) end() error { return p.frame(frameEnd, nil) }

// DamageError tells where a piece is not as it was written.
type DamageError struct {
	Piece  string
	Offset int64 // of the frame
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s; copy the piece from where else you have it, or restore a moment that does not need it",
		e.Piece, e.Offset, e.Reason)
}

// pieceReader reads a piece and verifies each frame.
type pieceReader struct {
	name   string
	r      *bufio.Reader
	offset int64
	header header
	body   []byte
}

// readPiece reads up to the header, which must be that of a piece of this name.
func readPiece(name string, r io.Reader) (*pieceReader, error) {
	p := &pieceReader{name: name, r: bufio.NewReaderSize(r, chunkBytes)}
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(p.r, start); err != nil || string(start) != magic {
		return nil, p.damaged("it does not begin as a piece of an archive does", err)
	}
	p.offset = int64(len(magic))
	at := p.offset
	kind, content, err := p.frame()
	if err != nil {
		return nil, err
	}
	if kind != frameHeader {
		return nil, &DamageError{name, at, "there is no header"}
	}
	if err := json.Unmarshal(content, &p.header); err != nil {
		return nil, &DamageError{name, at, "its header cannot be read: " + err.Error()}
	}
	if got := p.header.name(); got != name {
		return nil, &DamageError{name, at, "it says that it is " + got}
	}
	return p, nil
}

// damaged is an error of reading, or, if the piece has just ended, of what it says.
func (p *pieceReader) damaged(reason string, err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = "it ends in the middle"
	case err != nil:
		return fmt.Errorf("read %s: %w", p.name, err)
	}
	return &DamageError{p.name, p.offset, reason}
}

func (p *pieceReader) frame() (kind byte, content []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, nil, p.damaged("", err)
	}
	size, stored := binary.BigEndian.Uint32(head[1:]), binary.BigEndian.Uint32(head[5:])
	if size > maxContent || stored > maxContent+maxContent/8 {
		return 0, nil, p.damaged(fmt.Sprintf("a frame of %d bytes", max(size, stored)), nil)
	}
	// Grows as bytes come: a wrong size allocates nothing.
	var payload bytes.Buffer
	if _, err := io.CopyN(&payload, p.r, int64(stored)); err != nil {
		return 0, nil, p.damaged("", err)
	}
	if castagnoli(head[:frameHead-4], payload.Bytes()) != binary.BigEndian.Uint32(head[frameHead-4:]) {
		return 0, nil, p.damaged("the checksum is wrong", nil)
	}
	p.body = p.body[:0]
	inflated := bytes.NewBuffer(p.body)
	n, err := io.Copy(inflated, io.LimitReader(flate.NewReader(&payload), int64(size)+1))
	if err != nil || n != int64(size) {
		return 0, nil, p.damaged("its content cannot be inflated", nil)
	}
	p.body = inflated.Bytes()
	p.offset += frameHead + int64(stored)
	return head[0], p.body, nil
}

// next returns the content of the next data frame, valid until the next call; io.EOF
// at the end of the piece, which is verified.
func (p *pieceReader) next() ([]byte, error) {
	at := p.offset
	kind, content, err := p.frame()
	if err != nil {
		return nil, err
	}
	switch kind {
	case frameData:
		return content, nil
	case frameEnd:
		if _, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
			return nil, p.damaged("there is something behind its end", nil)
		}
		return nil, io.EOF
	}
	return nil, &DamageError{p.name, at, fmt.Sprintf("a frame of unknown kind %q", kind)}
}
