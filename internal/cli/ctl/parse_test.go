package ctl

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func TestSplitLine(t *testing.T) {
	for line, want := range map[string][]string{
		"":                         nil,
		"  put  a\tb ":             {"put", "a", "b"},
		`put 'single "quoted"' x`:  {"put", `single "quoted"`, "x"},
		`put "a\tb\"cA" x`:         {"put", "a\tb\"cA", "x"},
		`put k a"b`:                {"put", "k", `a"b`},
		`put "a"b`:                 {"put", "a", "b"},
		`get --prefix ""  --order`: {"get", "--prefix", "", "--order"},
	} {
		if got, err := splitLine(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`a 'b`, `a "b`, `a "\q"`} {
		if got, err := splitLine(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestReadLineNeedsItsEnd(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("  a \nb"))
	if line, err := readLine(in); line != "a" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	if line, err := readLine(in); err == nil {
		t.Errorf("half a line: %q", line)
	}
}

func TestParseCompare(t *testing.T) {
	for line, want := range map[string]struct {
		target pb.Compare_CompareTarget
		result pb.Compare_CompareResult
		key    string
		value  any
	}{
		`mod("a") > "0"`:           {pb.Compare_MOD, pb.Compare_GREATER, "a", int64(0)},
		`m("a")  !=   "7"`:         {pb.Compare_MOD, pb.Compare_NOT_EQUAL, "a", int64(7)},
		`c("a b") = "1"`:           {pb.Compare_CREATE, pb.Compare_EQUAL, "a b", int64(1)},
		`create("a") < "1"`:        {pb.Compare_CREATE, pb.Compare_LESS, "a", int64(1)},
		`version("a)") = "1" more`: {pb.Compare_VERSION, pb.Compare_EQUAL, "a)", int64(1)},
		"ver(`a`) = `1`":           {pb.Compare_VERSION, pb.Compare_EQUAL, "a", int64(1)},
		`value("a") = "x\ny"`:      {pb.Compare_VALUE, pb.Compare_EQUAL, "a", "x\ny"},
		`val( "a") = ""`:           {pb.Compare_VALUE, pb.Compare_EQUAL, "a", ""},
		`lease("a") = "1f"`:        {pb.Compare_LEASE, pb.Compare_EQUAL, "a", int64(0x1f)},
	} {
		got, err := parseCompare(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		cmp := got.GetCompare()
		var value any
		switch want.target {
		case pb.Compare_VALUE:
			value = string(cmp.GetValue())
		case pb.Compare_LEASE:
			value = cmp.GetLease()
		default:
			value = max(cmp.GetModRevision(), cmp.GetCreateRevision(), cmp.GetVersion())
		}
		if cmp.Target != want.target || cmp.Result != want.result || string(cmp.Key) != want.key || value != want.value {
			t.Errorf("%s: %v", line, cmp)
		}
	}
	for line, want := range map[string]string{
		`bogus`:             `malformed comparison: bogus`,
		`foo("a") = "0"`:    `malformed comparison: foo("a") = "0" (unknown target foo)`,
		`mod(a) = "0"`:      `malformed comparison: mod(a) = "0"; got mod("")  ""`,
		`mod("a") = 1`:      `malformed comparison: mod("a") = 1; got mod("a") = ""`,
		`mod("a")> "1"`:     `malformed comparison: mod("a")> "1"; got mod("a")  ""`,
		`mod("a") >"1"`:     `malformed comparison: mod("a") >"1"; got mod("a") >"1" ""`,
		`mod("a") ~ "1"`:    `malformed comparison: mod("a") ~ "1" (unknown operator ~)`,
		`mod("a") = "z"`:    `invalid txn compare request: mod("a") = "z"`,
		`lease("a") = "zz"`: `invalid txn compare request: lease("a") = "zz"`,
	} {
		_, err := parseCompare(line)
		var exit *cli.ExitError
		if !errors.As(err, &exit) || exit.Code != cli.ExitInvalidInput || err.Error() != want {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestTxnRequests(t *testing.T) {
	b := newBench(t)
	r := &txnReader{ctx: context.Background(), env: b.env, in: bufio.NewReader(strings.NewReader(
		"put a 'x y' --lease=1f\nget --prefix b --keys-only\ndel c d --range --prev-kv\n\n"))}
	ops, err := r.requests()
	if err != nil || len(ops) != 3 {
		t.Fatal(ops, err)
	}
	if !ops[0].IsPut() || string(ops[0].ValueBytes()) != "x y" {
		t.Errorf("put: %+v", ops[0])
	}
	if !ops[1].IsGet() || string(ops[1].RangeBytes()) != "c" || !ops[1].IsKeysOnly() {
		t.Errorf("get: %+v", ops[1])
	}
	if !ops[2].IsDelete() || string(ops[2].RangeBytes()) != "d" {
		t.Errorf("del: %+v", ops[2])
	}
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"putt a b":                  {cli.ExitInvalidInput, "invalid txn request: putt a b"},
		"put":                       {cli.ExitInvalidInput, "invalid txn compare request: put"},
		"put a":                     {cli.ExitBadArgs, "put command needs 1 argument and input from stdin or 2 arguments"},
		"get a --order=x":           {cli.ExitBadFeature, "bad sort order x"},
		"get a --hex":               {cli.ExitInvalidInput, "invalid txn request: get a --hex"},
		"del a --prefix --from-key": {cli.ExitBadArgs, "`--prefix` and `--from-key` cannot be set at the same time, choose one"},
	} {
		_, err := r.request(line)
		var exit *cli.ExitError
		if !errors.As(err, &exit) || exit.Code != want.code || err.Error() != want.text {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestWatchRequest(t *testing.T) {
	for _, c := range []struct {
		args        []string
		dash        int
		key, end    string // of the environment
		wantKey     string
		wantEnd     string
		wantCommand []string
		wantErr     string
	}{
		{args: []string{"a"}, dash: -1, wantKey: "a"},
		{args: []string{"a", "b"}, dash: -1, wantKey: "a", wantEnd: "b"},
		{args: []string{"a", "b", "c"}, dash: -1, wantKey: "a"},
		{args: []string{"a", "echo", "x"}, dash: 1, wantKey: "a", wantCommand: []string{"echo", "x"}},
		{args: []string{"a", "b", "echo"}, dash: 2, wantKey: "a", wantEnd: "b", wantCommand: []string{"echo"}},
		{args: nil, dash: -1, key: "k", end: "l", wantKey: "k", wantEnd: "l"},
		{args: []string{"echo"}, dash: 0, key: "k", wantKey: "k", wantCommand: []string{"echo"}},
		{args: nil, dash: -1, wantErr: "bad number of arguments"},
		{args: []string{"echo"}, dash: 0, wantErr: "bad number of arguments"},
		{args: []string{"a"}, dash: 1, wantErr: "bad number of arguments (found separator --, but no commands)"},
		{args: []string{"a"}, dash: -1, key: "k", wantErr: "bad number of arguments (found conflicting environment key)"},
		{args: nil, dash: -1, end: "l", wantErr: `ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END="l"`},
	} {
		req, err := (&watchOptions{}).request(c.args, c.dash, c.key, c.end)
		if c.wantErr != "" {
			var exit *cli.ExitError
			if !errors.As(err, &exit) || exit.Code != cli.ExitBadArgs || err.Error() != c.wantErr {
				t.Errorf("%q %d: %v", c.args, c.dash, err)
			}
			continue
		}
		op := clientv3.OpGet(req.key, req.opts...)
		if err != nil || req.key != c.wantKey || string(op.RangeBytes()) != c.wantEnd || !slices.Equal(req.exec, c.wantCommand) {
			t.Errorf("%q %d: %+v, %v", c.args, c.dash, req, err)
		}
	}
	if _, err := (&watchOptions{prefix: true}).request([]string{"a", "b"}, -1, "", ""); !errors.Is(err, errWatchRangePrefix) {
		t.Errorf("range and prefix: %v", err)
	}
}

func TestGetRequest(t *testing.T) {
	for _, c := range []struct {
		args     string
		key, end string
		err      string
		code     int
	}{
		{args: "a", key: "a"},
		{args: "a b c", key: "a", end: "b"},
		{args: "a --prefix", key: "a", end: "b"},
		{args: "a --from-key", key: "a", end: "\x00"},
		{args: "--consistency=x a", err: `unknown consistency flag "x"`, code: 4},
		{args: "--order=up a", err: "bad sort order up", code: 4},
		{args: "--sort-by=x a", err: "bad sort target x", code: 4},
		{args: "--min-mod-rev=5 --max-mod-rev=2 a", err: "getMinModRev(=5) > getMaxModRev(=2)", code: 4},
		{args: "--min-create-rev=5 a", key: "a"},
		{args: "a b --prefix", err: "too many arguments, only accept one argument when `--prefix` or `--from-key` is set", code: 128},
	} {
		cmd := newGet(newBench(t).env)
		o := &getOptions{}
		cmd.ResetFlags()
		o.addFlags(cmd.Flags())
		if err := cmd.ParseFlags(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		key, opts, err := o.request(cmd.Flags().Args())
		if c.err != "" {
			var exit *cli.ExitError
			if !errors.As(err, &exit) || exit.Code != c.code || err.Error() != c.err {
				t.Errorf("%s: %v", c.args, err)
			}
			continue
		}
		op := clientv3.OpGet(key, opts...)
		if err != nil || key != c.key || string(op.RangeBytes()) != c.end {
			t.Errorf("%s: %q %q, %v", c.args, key, op.RangeBytes(), err)
		}
	}
}

func TestEmptyKeyMeansAllKeys(t *testing.T) {
	for _, r := range []keyRange{{prefix: true}, {fromKey: true}} {
		key, opts := r.resolve([]string{""})
		if op := clientv3.OpGet(key, opts...); key != "\x00" || string(op.RangeBytes()) != "\x00" {
			t.Errorf("%+v: %q %q", r, key, op.RangeBytes())
		}
	}
}
