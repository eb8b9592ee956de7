package clitest

import (
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// output is what a command left behind.
type output struct {
	stdout, stderr string
	exit           int // negative: the signal that ended it
}

// compare returns what is wrong with an output.
func (v *vars) compare(want *expectations, got *output) (bad []string) {
	complain := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	matches := func(template, text string, all bool) bool {
		ok, err := v.match(template, text, all)
		if err != nil {
			complain("%v", err)
		}
		return ok
	}

	if want.Exit != nil && *want.Exit != got.exit {
		complain("exit: expected %d, got %d", *want.Exit, got.exit)
	}
	if want.Stdout != nil && !matches(*want.Stdout, got.stdout, true) {
		complain("stdout: expected\n%s\ngot\n%s", *want.Stdout, got.stdout)
	}
	if want.StdoutLines != nil {
		left := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
		if got.stdout == "" {
			left = nil
		}
		for _, line := range want.StdoutLines {
			i := slices.IndexFunc(left, func(l string) bool { return matches(line, l, true) })
			if i < 0 {
				complain("stdout lacks the line: %s", line)
				continue
			}
			left = slices.Delete(left, i, i+1)
		}
		for _, line := range left {
			complain("stdout has an unexpected line: %s", line)
		}
	}
	for _, part := range want.StdoutContains {
		if !matches(part, got.stdout, false) {
			complain("stdout does not contain: %s", part)
		}
	}
	if want.StdoutTable != nil {
		bad = append(bad, v.compareTable(want.StdoutTable, got.stdout)...)
	}
	if want.StdoutProto != nil {
		text, err := protoText([]byte(got.stdout), want.StdoutProto.Message)
		if err != nil {
			complain("stdout is no %s: %v", want.StdoutProto.Message, err)
		} else if !matches(want.StdoutProto.Text, text, true) {
			complain("protobuf: expected\n%s\ngot\n%s", want.StdoutProto.Text, text)
		}
	}
	if want.Stderr != nil && *want.Stderr != got.stderr {
		complain("stderr: expected %q", *want.Stderr)
	}
	for _, part := range want.StderrContains {
		if !matches(part, got.stderr, false) {
			complain("stderr does not contain: %s", part)
		}
	}
	if len(bad) > 0 {
		complain("stdout was\n%s\nstderr was\n%s", got.stdout, got.stderr)
	}
	return bad
}

// compareTable compares a drawn table cell by cell.
func (v *vars) compareTable(want *tableWanted, text string) (bad []string) {
	var rows [][]string
	style := "ascii"
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		bar := "|"
		if strings.HasPrefix(line, "│") {
			bar, style = "│", "box"
		}
		if !strings.HasPrefix(line, bar) {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, bar), bar) {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		return []string{"there is no table"}
	}
	if !slices.Equal(rows[0], want.Header) {
		bad = append(bad, fmt.Sprintf("table header: expected %q, got %q", want.Header, rows[0]))
	}
	if want.Style != "" && style != want.Style {
		bad = append(bad, fmt.Sprintf("table style: expected %s, got %s", want.Style, style))
	}
	same := slices.EqualFunc(want.Rows, rows[1:], func(a, b []string) bool {
		return slices.EqualFunc(a, b, func(template, cell string) bool {
			ok, err := v.match(template, cell, true)
			return ok && err == nil
		})
	})
	if !same {
		bad = append(bad, fmt.Sprintf("table rows: expected %q, got %q", want.Rows, rows[1:]))
	}
	return bad
}

// messages are the types that protobuf output is decoded as.
var messages = map[string]proto.Message{
	"RangeResponse":        &pb.RangeResponse{},
	"PutResponse":          &pb.PutResponse{},
	"DeleteRangeResponse":  &pb.DeleteRangeResponse{},
	"TxnResponse":          &pb.TxnResponse{},
	"WatchResponse":        &pb.WatchResponse{},
	"MemberListResponse":   &pb.MemberListResponse{},
	"AlarmResponse":        &pb.AlarmResponse{},
	"HeaderOnly":           &pb.LeaseRevokeResponse{},
	"AuthStatusResponse":   &pb.AuthStatusResponse{},
	"AuthUserListResponse": &pb.AuthUserListResponse{},
	"AuthUserGetResponse":  &pb.AuthUserGetResponse{},
	"AuthRoleListResponse": &pb.AuthRoleListResponse{},
	"AuthRoleGetResponse":  &pb.AuthRoleGetResponse{},
	"DowngradeResponse":    &pb.DowngradeResponse{},
}

// protoText writes an encoded message as text, its fields in the order in which
// they are encoded.
func protoText(raw []byte, message string) (string, error) {
	m, known := messages[message]
	if !known {
		return "", fmt.Errorf("unknown message %s", message)
	}
	return fieldsText(raw, m.ProtoReflect().Descriptor())
}

func fieldsText(raw []byte, desc protoreflect.MessageDescriptor) (string, error) {
	var out []string
	for len(raw) > 0 {
		num, wireType, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return "", protowire.ParseError(n)
		}
		raw = raw[n:]
		field := desc.Fields().ByNumber(num)
		if field == nil {
			return "", fmt.Errorf("%s has no field %d", desc.Name(), num)
		}
		switch wireType {
		case protowire.VarintType:
			value, n := protowire.ConsumeVarint(raw)
			if n < 0 {
				return "", protowire.ParseError(n)
			}
			raw = raw[n:]
			out = append(out, fmt.Sprintf("%s: %d", field.Name(), value))
		case protowire.BytesType:
			value, n := protowire.ConsumeBytes(raw)
			if n < 0 {
				return "", protowire.ParseError(n)
			}
			raw = raw[n:]
			if field.Message() == nil {
				out = append(out, fmt.Sprintf("%s: %s", field.Name(), quoteBytes(value)))
				continue
			}
			inner, err := fieldsText(value, field.Message())
			if err != nil {
				return "", err
			}
			if inner != "" {
				inner += " "
			}
			out = append(out, fmt.Sprintf("%s { %s}", field.Name(), inner))
		default:
			return "", fmt.Errorf("wire type %d", wireType)
		}
	}
	return strings.Join(out, " "), nil
}

// quoteBytes quotes bytes as the recordings do: JSON, one character a byte.
func quoteBytes(b []byte) string {
	short := map[byte]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	var out strings.Builder
	out.WriteByte('"')
	for _, c := range b {
		switch {
		case short[c] != "":
			out.WriteString(short[c])
		case c < ' ' || c > '~':
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}
