package utl

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// snapshot writes a snapshot of etcd 3.7 to a file.
func snapshot(t *testing.T) string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "exchange", "testdata", "snapshot-3.7.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Run(context.Background(), NewEnv(&out, &errs), args)
	return code, out.String(), errs.String()
}

// TestCommands runs whole command lines. FILE is a snapshot, RESTORED a directory of it.
func TestCommands(t *testing.T) {
	file, dir := snapshot(t), filepath.Join(t.TempDir(), "restored")
	if code, _, stderr := run("snapshot", "restore", file, "--data-dir", dir); code != 0 || !strings.Contains(stderr, "restored snapshot") {
		t.Fatalf("restore ended with %d: %s", code, stderr)
	}
	names := strings.NewReplacer("FILE", file, "RESTORED", dir, "DB", filepath.Join(dir, "member", "snap", "db"))
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // what they contain
	}{
		{"snapshot status FILE", 0, "beb6f351, 413, 196, 94 kB, 3.7.0\n", ""},
		{"snapshot status FILE -w json", 0, `{"hash":3199660881,"revision":413,"totalKey":196,"totalSize":94208,"version":"3.7.0"}`, ""},
		{"snapshot status FILE -w bogus", 4, "", "Error: unsupported output format\n"},
		{"snapshot restore FILE --data-dir=none --initial-cluster=x", 1, "", "Error: URL scheme must be http, https, unix, or unixs: \n"},
		{"hashkv FILE", 0, "3220107905, 413, 379\n", ""},
		{"hashkv FILE --rev 390 -w fields", 0, "\"Hash\" : 184304392\n\"Hash revision\" : 390\n\"Compact revision\" : 379\n", ""},
		{"hashkv FILE --rev 10", 1, "", "Error: mvcc: required revision has been compacted\n"},
		{"hashkv DB", 0, "3220107905, 413, 379\n", ""},
		{"snapshot status DB", 0, ", 413, 196, ", ""},
		{"check RESTORED", 0, "no problems found", ""},
		{"check RESTORED -w json", 0, `"problems":[]`, ""},
		{"check no-such-dir", 1, "", "no such file or directory"},
		{"show RESTORED", 0, "1 term 1 conf change", ""},
		{"show RESTORED --from 2", 0, "state: term 1", ""},
		{"defrag --data-dir RESTORED", 0, "", "defragmented"},
		{"migrate --data-dir RESTORED --target-version 3.6", 0, "", "storage version up-to-date"},
		{"migrate --data-dir RESTORED --target-version 3.9", 128, "", `target version "3.9" not supported`},
		{"snapshot restore FILE --data-dir RESTORED", 1, "", "not empty or could not be read"},
		{"snapshot restore FILE --initial-cluster default=ftp://x:1", 1, "", "URL scheme must be http, https, unix, or unixs: ftp://x:1"},
		{"snapshot restore FILE --bump-revision 18446744073709551615 --mark-compacted", 1, "", "--bump-revision is too large"},
		{"sn st FILE", 0, "beb6f351, ", ""},
		{"frobnicate", 1, "", "Error: unknown command \"frobnicate\" for \"etcdutl\"\nRun 'etcdutl --help' for usage.\nError: unknown command"},
	} {
		code, stdout, stderr := run(strings.Fields(names.Replace(c.args))...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.code != 0 && c.stderr == "" {
			t.Errorf("%s ended with %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
}
