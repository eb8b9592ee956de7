package member

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/rpc"
	"bowline/internal/testkit"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// rawCodec sends and receives messages as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = rawCodec{}

// TestEveryCallIsBuiltOrInTheTable calls each method that is registered with an
// empty request. What answers Unimplemented must stand in the table of calls that
// wait for a capability, with the text that names it; what stands there as always
// refused must be.
func TestEveryCallIsBuiltOrInTheTable(t *testing.T) {
	m := startMember(t, testConfig(t))
	conn := dial(t, m)
	table := make(map[string]rpc.Unbuilt)
	for _, u := range rpc.UnbuiltCalls() {
		table[u.Method] = u
	}
	for service, info := range m.rpc.GetServiceInfo() {
		for _, method := range info.Methods {
			full := "/" + service + "/" + method.Name
			u, known := table[full]
			delete(table, full)
			err := callEmpty(t.Context(), conn, full, method)
			switch refused := status.Code(err) == codes.Unimplemented; {
			case refused && !known:
				t.Errorf("%s is not built and not in the table: %v", full, err)
			case refused && !strings.HasSuffix(err.Error(), "not built in this version: "+u.WaitsFor):
				t.Errorf("%s does not name what it waits for: %v", full, err)
			case !refused && known && u.Answers == "":
				t.Errorf("%s stands in the table as refused and answers %v", full, err)
			}
		}
	}
	for full := range table {
		t.Errorf("%s stands in the table and is not registered", full)
	}
}

// callEmpty calls a method with an empty message and returns its error. A stream
// that does not answer soon is built.
func callEmpty(ctx context.Context, conn *grpc.ClientConn, full string, method grpc.MethodInfo) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var request, answer []byte
	if !method.IsClientStream && !method.IsServerStream {
		return conn.Invoke(ctx, full, &request, &answer, grpc.ForceCodecV2(rawCodec{}))
	}
	ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, full, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return err
	}
	if err := s.SendMsg(&request); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return s.RecvMsg(&answer)
}

// TestNotBuiltIsWrittenDown prints what this version cannot do yet, calls and
// settings alike, and compares it with the page that tells users.
// UPDATE_GOLDEN=1 writes the page anew.
func TestNotBuiltIsWrittenDown(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# What is not built yet

This page is made from the tables in ` + "`internal/rpc/unbuilt.go` and `internal/config`" + ` by a test, which fails
when they differ.

## Calls

Where nothing else is said, a call is refused with the code Unimplemented and a text that names what it waits for.

| call | answers | waits for |
|---|---|---|
`)
	for _, u := range rpc.UnbuiltCalls() {
		answers := u.Answers
		if answers == "" {
			answers = "a refusal"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.TrimPrefix(u.Method, "/etcdserverpb."), answers, u.WaitsFor)
	}
	if len(rpc.UnbuiltCalls()) == 0 {
		b.WriteString("| none | | |\n")
	}
	b.WriteString("\n## Settings that wait for a capability\n\nThey are accepted, and a line in the log says so.\n\n" +
		"| setting | waits for |\n|---|---|\n")
	for _, e := range config.Effects() {
		if e.Later != "" {
			fmt.Fprintf(&b, "| `%s` | %s |\n", e.Name, e.Later)
		}
	}
	b.WriteString("\n## Settings that mean nothing here\n\n| setting | because |\n|---|---|\n")
	for _, e := range config.Effects() {
		if e.Never != "" {
			fmt.Fprintf(&b, "| `%s` | %s |\n", e.Name, e.Never)
		}
	}
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(root, "docs", "not-built.md")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("docs/not-built.md differs from what is so now; run with UPDATE_GOLDEN=1. It should be:\n%s", b.String())
	}
}
