package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bowline/internal/engine"
	"bowline/internal/v2"
	"bowline/internal/wire"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// shown collects what is shown of something, as text and as JSON.
func shown(t testing.TB, sel Selection, show func(*Shower) error) (lines []string, err error) {
	t.Helper()
	var all []string
	err = show(NewShower(t.Context(), sel, func(r Shown) error {
		text, err := json.Marshal(r)
		lines, all = append(lines, r.String()), append(all, string(text))
		return err
	}))
	for _, secret := range []string{"alicepw", "$2a$10$"} {
		if strings.Contains(strings.Join(append(all, lines...), "\n"), secret) {
			t.Errorf("it tells %q", secret)
		}
	}
	return lines, err
}

func ofMember(dir string) func(*Shower) error {
	return func(s *Shower) error { return s.Member(dir, "", 10*time.Millisecond) }
}

// TestShowEtcdMember shows a directory of 3.4, with requests of API v2 in its log, and no
// secrets.
func TestShowEtcdMember(t *testing.T) {
	dir, want := unpackDir(t, "datadir-3.4"), loadManifest(t, "datadir-3.4")
	lines, err := shown(t, Selection{Values: true}, ofMember(dir))
	must(t, err)
	all := strings.Join(lines, "\n")
	for _, text := range []string{"ConfChangeAddNode fffffa56274d7981", "(begin of a term)", "cluster_member_attr_set:{member_ID:18446737846666361217",
		`cluster_version_set:{ver:"3.4.0"}`, "lease_grant:", "compaction:", "mark authRevision: ", `role "root":`} {
		if !strings.Contains(all, text) {
			t.Errorf("there is no %q", text)
		}
	}
	count := make(map[string]int)
	for _, line := range lines {
		kind, _, _ := strings.Cut(line, " ")
		count[kind]++
	}
	if count["entry"] != 472 || count["state:"] != 1 || count["lease"] != len(want.Leases) || count["user"] != len(want.Auth.Users) || count["role"] != len(want.Auth.Roles) {
		t.Errorf("%v", count)
	}
}

// TestShowIsTheSame in a snapshot and in the directory restored of it: as many versions of
// the same text, in another order.
func TestShowIsTheSame(t *testing.T) {
	source := unpackSnapshot(t, "snapshot-3.7")
	dir := filepath.Join(t.TempDir(), "data")
	_, err := Restore(t.Context(), RestoreOptions{Source: source, DataDir: dir, Name: "a", Members: initialOf("a")})
	must(t, err)
	before := contents(t, dir)
	for _, sel := range []Selection{
		{Kinds: []Kind{KindVersion}, Values: true}, {Kinds: []Kind{KindUser, KindRole, KindLease}},
		{Key: []byte("app/config/002")}, {Key: []byte("app/"), Prefix: true, Values: true}, {FromRevision: 390, ToRevision: 411},
		{Key: []byte("app/config/002"), FromRevision: 412}, {Key: []byte("\xff"), Prefix: true}, {Key: []byte{}, Prefix: true},
	} {
		ours, err := shown(t, sel, ofMember(dir))
		must(t, err)
		theirs, err := shown(t, sel, func(s *Shower) error { return s.Snapshot(source, 0) })
		must(t, err)
		signpost, err := shown(t, sel, func(s *Shower) error {
			return s.Snapshot(filepath.Join(dir, engine.MemberDir, engine.SignpostFile), time.Second)
		})
		must(t, err)
		a, b := sorted(ours), sorted(theirs)
		if len(sel.Key) == 0 || sel.Key[0] != 0xff {
			if len(ours) == 0 {
				t.Errorf("%+v shows nothing", sel)
			}
		}
		if a != b || a != sorted(signpost) {
			t.Errorf("%+v: of the directory\n%s\nof the snapshot\n%s", sel, a, b)
		}
	}
	after := contents(t, dir)
	delete(after, "member/LOCK") // a member's first start makes it
	if !reflect.DeepEqual(after, before) {
		t.Errorf("the directory had %q and has %q", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
}

func sorted(lines []string) string { return strings.Join(slices.Sorted(slices.Values(lines)), "\n") }

func treeRequests() []wire.V2Request {
	return []wire.V2Request{
		{Method: wire.V2Put, Path: "/1/a\x00b", Value: "v", Time: start},
		{Method: wire.V2Put, Path: "/1/dir", Dir: true, Expiration: start + 1e10, Time: start},
		{Method: wire.V2Put, Path: "/2/users/root", Value: "$2a$10$secret", Time: start},
	}
}

// TestShowTree shows every node of API v2 with its value, but for users and roles.
func TestShowTree(t *testing.T) {
	h, e := newHistory(t)
	h.grow(treeRequests()...)
	must(t, e.Flush())
	want := make(map[string]string)
	must(t, v2.EachRecord(e, func(body, value []byte) error {
		if body[0] == 'n' {
			want[string(body[1:])] = string(value)
		}
		return nil
	}))
	file := snapshotOf(t, h.f)
	lines, err := shown(t, Selection{Kinds: []Kind{KindV2}, Values: true}, func(s *Shower) error { return s.Snapshot(file, 0) })
	must(t, err)
	text := strings.Join(lines, "\n")
	for _, line := range []string{
		`v2 node "/1/a\x00b": created at 1, modified at 1, 1 bytes: "v"`, `v2 node "/1/dir": created at 2, modified at 2, expires 2023-11-14T22:13:30Z, a directory`,
		`v2 expiry "/1/dir": 2023-11-14T22:13:30Z`, `v2 event 2: set "/1/dir"`, `v2 state: index 3, events from 1 on`, `v2 node "/2/users/root": created at 3, modified at 3, 13 bytes`,
	} {
		if !strings.Contains(text+"\n", line+"\n") {
			t.Errorf("there is no %s in\n%s", line, text)
		}
	}
	if nodes := strings.Count(text, "v2 node "); nodes != len(want) {
		t.Errorf("%d nodes, want %d", nodes, len(want))
	}
	lines, err = shown(t, Selection{Key: []byte("/dir")}, func(s *Shower) error { return s.Snapshot(file, 0) })
	if must(t, err); len(lines) != 3 {
		t.Errorf("of one path: %q", lines)
	}
	for size := range 40 { // never a panic
		for kind := range 256 {
			_, _ = parseTreeRecord(bytes.Repeat([]byte{byte(kind)}, size), bytes.Repeat([]byte{byte(kind)}, size))
		}
	}
}

// TestShowRefuses what is damaged, foreign or in use, and says where.
func TestShowRefuses(t *testing.T) {
	restored := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "data")
		_, err := Restore(t.Context(), RestoreOptions{Source: unpackSnapshot(t, "snapshot-3.7"), DataDir: dir, Name: "a", Members: initialOf("a")})
		must(t, err)
		return dir
	}
	for _, c := range []struct {
		name, want string
		dir        func(t *testing.T) string
	}{
		{"nothing", "neither a data directory nor an archive", func(t *testing.T) string { return t.TempDir() }},
		{"ours, in use", "is in use: stop the member first", func(t *testing.T) string {
			dir := restored(t)
			lock, err := vfs.Default.Lock(filepath.Join(dir, engine.MemberDir, engine.LockFile))
			must(t, err)
			t.Cleanup(func() { must(t, lock.Close()) })
			return dir
		}},
		{"etcd's, in use", "is in use: stop the member first", func(t *testing.T) string {
			dir := unpackDir(t, "datadir-3.7")
			f, err := os.Open(filepath.Join(dir, engine.MemberDir, engine.SignpostFile))
			must(t, err)
			t.Cleanup(func() { must(t, f.Close()) })
			must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
			return dir
		}},
		{"newer", "was written by a newer version (format 2", func(t *testing.T) string {
			dir := restored(t)
			must(t, os.WriteFile(filepath.Join(dir, engine.MemberDir, engine.FormatFile), []byte("bowline 2\n"), 0o600))
			return dir
		}},
		{"another format", "FORMAT is damaged at offset 0", func(t *testing.T) string {
			dir := restored(t)
			must(t, os.WriteFile(filepath.Join(dir, engine.MemberDir, engine.FormatFile), []byte("x"), 0o600))
			return dir
		}},
		{"no engine", "no such file", func(t *testing.T) string {
			dir := restored(t)
			must(t, os.RemoveAll(filepath.Join(dir, engine.MemberDir, engine.DirName)))
			return dir
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := shown(t, Selection{}, ofMember(c.dir(t))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestShowTellsOfDamage: a record that cannot be read is named with file and offset; what is
// before it is shown. Whatever is wrong in a file or an engine, it ends.
func TestShowTellsOfDamage(t *testing.T) {
	source := unpackSnapshot(t, "snapshot-3.7")
	good, err := os.ReadFile(source)
	must(t, err)
	record := []byte("app/config/000")
	bad := bytes.Clone(good)
	at := bytes.Index(bad, record)
	bad[at-1] = 0xff // the size of a key
	must(t, os.WriteFile(source, bad, 0o600))
	lines, err := shown(t, Selection{}, func(s *Shower) error { return s.Snapshot(source, 0) })
	var damage *DamageError
	if !errors.As(err, &damage) || damage.File != source || damage.Offset <= 0 || len(lines) == 0 {
		t.Errorf("%d lines, then %v", len(lines), err)
	}
	for at := 0; at < len(good); at += 97 {
		bad := bytes.Clone(good)
		bad[at] ^= 0x55
		must(t, os.WriteFile(source, bad, 0o600))
		if _, err := shown(t, Selection{}, func(s *Shower) error { return s.Snapshot(source, 0) }); err != nil && !strings.Contains(err.Error(), source) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	h, e := newHistory(t)
	h.grow(treeRequests()...)
	b := e.NewBatch()
	must(t, b.Set(engine.Key(engine.ClassLease, []byte("12345678")), []byte{0xff}, nil))
	must(t, e.Commit(b))
	s := NewShower(t.Context(), Selection{}, func(Shown) error { return nil })
	if err := s.class("DIR", e, engine.ClassLease, s.leaseRecord); err == nil || !strings.Contains(err.Error(), "DIR: record 3132333435363738 of class 05 cannot be read") {
		t.Errorf("a damaged record: %v", err)
	}
	b = e.NewBatch()
	must(t, b.Delete(engine.Key(engine.ClassLease, []byte("12345678")), nil))
	must(t, e.Commit(b))
}

// TestShowEnds at its limit, when its context ends, and when its reader does.
func TestShowEnds(t *testing.T) {
	source := unpackSnapshot(t, "snapshot-3.7")
	show := func(s *Shower) error { return s.Snapshot(source, 0) }
	if lines, err := shown(t, Selection{Limit: 7}, show); !errors.Is(err, ErrEnough) || len(lines) != 7 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	gone := errors.New("gone")
	if err := show(NewShower(t.Context(), Selection{}, func(Shown) error { return gone })); !errors.Is(err, gone) {
		t.Errorf("a reader that is gone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := NewShower(ctx, Selection{}, func(Shown) error { return nil })
	s.walked = progressEvery - 1
	if err := show(s); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	must(t, withMemberOf(t, source))
}

// withMemberOf shows that a member can be opened again after it was shown.
func withMemberOf(t *testing.T, source string) error {
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(t.Context(), RestoreOptions{Source: source, DataDir: dir, Name: "a", Members: initialOf("a")}); err != nil {
		return err
	}
	if _, err := shown(t, Selection{Limit: 1}, ofMember(dir)); !errors.Is(err, ErrEnough) {
		return err
	}
	return withMember(t.Context(), filepath.Join(dir, engine.MemberDir), time.Second, zap.NewNop(), func(*engine.Engine) error { return nil })
}
