package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

// disk is a file that can be slow, or full.
type disk struct {
	slow  chan struct{} // if there is one, writes wait until it is closed
	mu    sync.Mutex
	text  bytes.Buffer
	err   error
	after int // lines that are taken before err
}

func (d *disk) Write(b []byte) (int, error) {
	if d.slow != nil {
		<-d.slow
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil && d.after == 0 {
		return 0, d.err
	}
	d.after--
	return d.text.Write(b)
}

func (d *disk) Close() error { return nil }

func (d *disk) records(t *testing.T) (all []Record) {
	t.Helper()
	for line := range strings.Lines(d.text.String()) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func open(t *testing.T, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSlowDisk: calls wait for room, not for ever, and what is lost is told where it is
// missing.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		l := open(t, Config{Out: d, Buffer: 2, Member: "m"})
		synctest.Wait()
		d.slow = make(chan struct{})
		// One is being written, two wait, and three are lost.
		for _, call := range []string{"a", "b", "c", "d", "e", "f"} {
			l.Write(&Record{Call: call})
			synctest.Wait()
		}
		if written, lost := l.Counts(); written != 1 || lost != 3 {
			t.Errorf("%d written, %d lost", written, lost)
		}
		close(d.slow)
		synctest.Wait()
		l.Write(&Record{Call: "g"})
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		var got []string
		for _, r := range d.records(t) {
			if r.Member != "m" || r.Time.IsZero() {
				t.Errorf("%+v", r)
			}
			got = append(got, r.Call)
			if r.Lost != 0 && r.Lost != 3 {
				t.Errorf("%d are said to be lost", r.Lost)
			}
		}
		if text := strings.Join(got, " "); text != "audit log opened a records were lost b c g" {
			t.Error(text)
		}
	})
}

// TestFullDisk: what cannot be written is counted, and told when it can be again.
func TestFullDisk(t *testing.T) {
	defer goleak.VerifyNone(t)
	full := errors.New("no space left")
	if _, err := Open(Config{Out: &disk{err: full}}); !errors.Is(err, full) {
		t.Errorf("opened without room: %v", err)
	}
	d := &disk{err: full, after: 1}
	l := open(t, Config{Out: d})
	l.Write(&Record{Call: "a"})
	for {
		if _, lost := l.Counts(); lost == 1 {
			break
		}
	}
	d.mu.Lock()
	d.err = nil
	d.mu.Unlock()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.Write(&Record{Call: "too late"})
	if _, lost := l.Counts(); lost != 2 {
		t.Errorf("%d are lost", lost)
	}
	if all := d.records(t); len(all) != 2 || all[1].Lost != 1 {
		t.Errorf("%+v", all)
	}
}

func TestRotation(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{Path: path, MaxMB: 1, MaxFiles: 100})
	long := &Record{Call: "a", Subject: strings.Repeat("x", 1<<10)}
	const n = 3000
	for range n {
		l.Write(long)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "audit.log*"))
	if err != nil || len(files) != 4 {
		t.Errorf("%v %v", files, err)
	}
	lines := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || len(text) > 1<<20 {
			t.Errorf("%s has %d bytes, %v", f, len(text), err)
		}
		lines += bytes.Count(text, []byte("\n"))
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info.Mode(), err)
		}
	}
	if lines != n+2 {
		t.Errorf("%d lines, want %d", lines, n+2)
	}
	l = open(t, Config{Path: path, MaxMB: 1, MaxFiles: 1})
	for range 1200 {
		l.Write(long)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "audit.log*")); err != nil || len(files) != 2 {
		t.Errorf("one is to be kept: %v %v", files, err)
	}
	if _, err := Open(Config{Path: filepath.Join(dir, "missing", "audit.log")}); err == nil {
		t.Error("a directory was made")
	}
}

func TestKeysAreBounded(t *testing.T) {
	r := new(Record)
	r.Add("put", []byte("plain"), nil)
	r.Add("range", []byte{0xff}, []byte{0})
	r.Add("delete", bytes.Repeat([]byte("x"), 5000), nil)
	for range 1000 {
		r.Add("put", []byte("k"), nil)
	}
	want := []Key{{Do: "put", Key: "plain"}, {Do: "range", Key64: "/w==", End: "\x00"},
		{Do: "delete", Key: strings.Repeat("x", 1024), Bytes: 5000}}
	for i, k := range want {
		if r.Keys[i] != k {
			t.Errorf("%+v, want %+v", r.Keys[i], k)
		}
	}
	if len(r.Keys) != 256 || r.Omitted != 747 {
		t.Errorf("%d keys and %d omitted", len(r.Keys), r.Omitted)
	}
}
