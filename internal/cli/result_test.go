package cli

import (
	"errors"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestPrint(t *testing.T) {
	r := Result{
		Simple: func(w *TextWriter) {
			w.Linef("n %d", 1)
			w.Bytes([]byte("k\n"))
		},
		Fields: func(w *FieldWriter) {
			w.ID("ID", 255)
			w.LeaseID("Lease", 255)
			w.Value("N", 7)
			w.Quoted("Key", "k\n")
			w.QuotedList("Roles", []string{"a", "b"})
			w.QuotedList("None", nil)
			w.Blank()
		},
		JSON:  map[string]string{"a": "<"},
		Proto: &pb.ResponseHeader{Revision: 1},
		Table: &Table{Header: []string{"a b", "c"}, Rows: [][]string{{"é", "long"}}},
	}
	for _, c := range []struct {
		format Format
		hex    bool
		want   string
	}{
		{FormatSimple, false, "n 1\nk\n\n"},
		{FormatSimple, true, "n 1\n\\x6b\\x0a\n"},
		{FormatFields, false, "\"ID\" : 255\n\"Lease\" : 255\n\"N\" : 7\n\"Key\" : \"k\\n\"\n\"Roles\" : \"a\" \"b\"\n\"None\" :\n\n"},
		{FormatFields, true, "\"ID\" : ff\n\"Lease\" : 00000000000000ff\n\"N\" : 7\n\"Key\" : \"k\\n\"\n\"Roles\" : \"a\" \"b\"\n\"None\" :\n\n"},
		{FormatJSON, true, "{\"a\":\"\\u003c\"}\n"},
		{FormatProtobuf, true, "\x18\x01"},
		{FormatTable, true, "┌─────┬──────┐\n│ A B │  C   │\n├─────┼──────┤\n│   é │ long │\n└─────┴──────┘\n"},
	} {
		var out strings.Builder
		p := Printer{Out: &out, Format: c.format, Hex: c.hex}
		if err := p.Print(r); err != nil || out.String() != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.format, out.String(), err, c.want)
		}
	}
}

func TestPrintMissingForm(t *testing.T) {
	for _, format := range []Format{FormatFields, FormatJSON, FormatProtobuf, FormatTable} {
		var out strings.Builder
		p := Printer{Out: &out, Format: format}
		err := p.Print(Text("x"))
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != ExitBadFeature || err.Error() != string(format)+" not supported as output format" {
			t.Errorf("%s: %v", format, err)
		}
		if err := p.PrintText(Text("x")); err != nil || out.String() != "x\n" {
			t.Errorf("%s: as text: %q, %v", format, out.String(), err)
		}
	}
}

func TestTableWithoutRows(t *testing.T) {
	var out strings.Builder
	p := Printer{Out: &out, Format: FormatTable}
	if err := p.Print(Result{Table: &Table{Header: []string{"ID", "name"}}}); err != nil {
		t.Fatal(err)
	}
	if want := "┌────┬──────┐\n│ ID │ NAME │\n└────┴──────┘\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestParseFormat(t *testing.T) {
	for _, name := range FormatNames {
		if f, err := ParseFormat(name); err != nil || string(f) != name {
			t.Errorf("%s: %s, %v", name, f, err)
		}
	}
	if _, err := ParseFormat("yaml"); Report(&strings.Builder{}, err) != ExitBadFeature {
		t.Errorf("yaml: %v", err)
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{errors.New("e"), 1, "Error: e\n"},
		{BadArgs("%s wrong", "x"), 128, "Error: x wrong\n"},
		{Exit(5, nil), 5, ""},
		{Exit(2, BadArgs("inner")), 2, "Error: inner\n"},
	} {
		var out strings.Builder
		if code := Report(&out, c.err); code != c.code || out.String() != c.text {
			t.Errorf("%v: %d, %q", c.err, code, out.String())
		}
	}
}
