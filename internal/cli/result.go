package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// Format is a way to write a result, chosen with --write-out.
type Format string

// The formats, by the names that --write-out takes.
const (
	FormatSimple   Format = "simple"
	FormatFields   Format = "fields"
	FormatJSON     Format = "json"
	FormatProtobuf Format = "protobuf"
	FormatTable    Format = "table"
)

// FormatNames lists the formats in the order that help texts show.
var FormatNames = []string{string(FormatFields), string(FormatJSON), string(FormatProtobuf), string(FormatSimple), string(FormatTable)}

// ParseFormat checks the value of --write-out.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case FormatSimple, FormatFields, FormatJSON, FormatProtobuf, FormatTable:
		return f, nil
	}
	return "", Exitf(ExitBadFeature, "unsupported output format")
}

// Result is what a command has to say, in each form that it can be said in. A
// form left nil does not exist for that command, and asking for it is an error.
// This keeps the formats out of the commands and the commands out of the
// formats: a new command adds a Result, a new format adds a field.
type Result struct {
	Simple func(*TextWriter)
	Fields func(*FieldWriter)
	JSON   any
	Proto  proto.Message
	Table  *Table
}

// Text is a result that is the same text in every format.
func Text(format string, args ...any) Result {
	return Result{Simple: func(w *TextWriter) { w.Linef(format, args...) }}
}

// Printer writes results in one format.
type Printer struct {
	Out    io.Writer
	Format Format
	// Hex writes bytes and IDs in hexadecimal, where the format has room for it.
	Hex bool
}

// Print writes r, or explains that r has no such form.
func (p *Printer) Print(r Result) error {
	out := bufio.NewWriter(p.Out)
	if err := p.write(out, r); err != nil {
		return err
	}
	return out.Flush()
}

// PrintText writes r's simple form whatever the format, for the commands whose
// text never depended on --write-out.
func (p *Printer) PrintText(r Result) error {
	text := Printer{Out: p.Out, Format: FormatSimple, Hex: p.Hex}
	return text.Print(r)
}

func (p *Printer) write(out *bufio.Writer, r Result) error {
	switch {
	case p.Format == FormatSimple && r.Simple != nil:
		r.Simple(&TextWriter{out: out, hex: p.Hex})
	case p.Format == FormatFields && r.Fields != nil:
		r.Fields(&FieldWriter{out: out, hex: p.Hex})
	case p.Format == FormatJSON && r.JSON != nil:
		line, err := json.Marshal(r.JSON)
		if err != nil {
			return err
		}
		out.Write(line)
		out.WriteByte('\n')
	case p.Format == FormatProtobuf && r.Proto != nil:
		raw, err := proto.Marshal(r.Proto)
		if err != nil {
			return err
		}
		out.Write(raw)
	case p.Format == FormatTable && r.Table != nil:
		r.Table.write(out)
	default:
		return Exitf(ExitBadFeature, "%s not supported as output format", p.Format)
	}
	return nil
}

// TextWriter writes the simple format. Write errors are kept by the buffer
// underneath and come out of Print.
type TextWriter struct {
	out *bufio.Writer
	hex bool
}

// Linef writes one formatted line.
func (w *TextWriter) Linef(format string, args ...any) {
	fmt.Fprintf(w.out, format, args...)
	w.out.WriteByte('\n')
}

// Bytes writes a key or a value on a line of its own.
func (w *TextWriter) Bytes(b []byte) {
	if w.hex {
		for _, c := range b {
			fmt.Fprintf(w.out, `\x%02x`, c)
		}
	} else {
		w.out.Write(b)
	}
	w.out.WriteByte('\n')
}

// FieldWriter writes the fields format: `"Name" : value`, one a line.
type FieldWriter struct {
	out *bufio.Writer
	hex bool
}

// Value writes a number, a bool, or text that is not quoted.
func (w *FieldWriter) Value(name string, value any) {
	fmt.Fprintf(w.out, "%q : %v\n", name, value)
}

// Quoted writes text or bytes as a Go string.
func (w *FieldWriter) Quoted(name, value string) {
	fmt.Fprintf(w.out, "%q : %q\n", name, value)
}

// QuotedList writes several texts on one line.
func (w *FieldWriter) QuotedList(name string, values []string) {
	fmt.Fprintf(w.out, "%q :", name)
	for _, value := range values {
		fmt.Fprintf(w.out, " %q", value)
	}
	w.out.WriteByte('\n')
}

// ID writes the ID of a cluster or a member.
func (w *FieldWriter) ID(name string, id uint64) {
	if w.hex {
		fmt.Fprintf(w.out, "%q : %x\n", name, id)
		return
	}
	w.Value(name, id)
}

// LeaseID writes the ID of a lease.
func (w *FieldWriter) LeaseID(name string, id int64) {
	if w.hex {
		fmt.Fprintf(w.out, "%q : %016x\n", name, id)
		return
	}
	w.Value(name, id)
}

// Blank ends a group of fields.
func (w *FieldWriter) Blank() { w.out.WriteByte('\n') }
