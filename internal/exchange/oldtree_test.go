package exchange

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bowline/internal/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// oldManifest is what etcd 3.4 has answered in API v2.
type oldManifest struct {
	Index               uint64
	All, Hidden, Secret any
	Stats               map[string]uint64
	Waits               map[string]any
	Users               struct{ Users []struct{ User string } }
	Roles               struct{ Roles []struct{ Role string } }
}

// withoutTTL takes what depends on the time of asking out of an answer.
func withoutTTL(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "ttl")
		for _, child := range v {
			withoutTTL(child)
		}
	case []any:
		for _, child := range v {
			withoutTTL(child)
		}
	}
	return v
}

func (m *member) read(t *testing.T, path string) any {
	t.Helper()
	r, err := m.fsm.V2().Read(path, true, 0)
	must(t, err)
	defer r.Close()
	var b bytes.Buffer
	must(t, r.Write(func(piece []byte) error {
		b.Write(piece)
		return nil
	}))
	return decoded(t, b.Bytes())
}

func decoded(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	must(t, json.Unmarshal(b, &v))
	return withoutTTL(v)
}

// compareTree compares the tree with what etcd has answered.
func (m *member) compareTree(t *testing.T, want *oldManifest) {
	t.Helper()
	tree := m.fsm.V2()
	if tree.Index() != want.Index {
		t.Errorf("the index is %d, want %d", tree.Index(), want.Index)
	}
	for path, answer := range map[string]any{"/1": want.All, "/1/_hidden": want.Hidden, "/1/app/config/_secret": want.Secret} {
		if got := m.read(t, path); !reflect.DeepEqual(got, withoutTTL(answer)) {
			t.Errorf("%s:\n%v, want\n%v", path, got, answer)
		}
	}
	for since, answer := range want.Waits {
		var index uint64
		must(t, json.Unmarshal([]byte(since), &index))
		w, err := tree.Watch("/1", true, false, index)
		must(t, err)
		if got := decoded(t, (<-w.Events).JSON()); !reflect.DeepEqual(got, answer) {
			t.Errorf("waiting from %s:\n%v, want\n%v", since, got, answer)
		}
		w.Close()
	}
	counts := tree.Stats().Counts
	for i, name := range oldCounters {
		if counts[i] != want.Stats[name] {
			t.Errorf("%s is %d, want %d", name, counts[i], want.Stats[name])
		}
	}
	for _, u := range want.Users.Users {
		if n, err := tree.Get("/2/users/" + u.User); err != nil || n == nil || !strings.Contains(n.Value, `"password":"$2a$`) {
			t.Errorf("user %s: %+v, %v", u.User, n, err)
		}
	}
	for _, r := range want.Roles.Roles {
		// The role root is not kept.
		if n, err := tree.Get("/2/roles/" + r.Role); err != nil || (n == nil) != (r.Role == "root") {
			t.Errorf("role %s: %+v, %v", r.Role, n, err)
		}
	}
}

// TestTakeOverTree takes directories of etcd 3.4 over that hold keys of API v2: one with
// .snap files and a log that goes on from them, and one of a killed server, whose tree
// is in its log alone.
func TestTakeOverTree(t *testing.T) {
	for _, name := range []string{"datadir-3.4-v2", "datadir-3.4-v2-crash"} {
		t.Run(name, func(t *testing.T) {
			var want oldManifest
			b, err := os.ReadFile(filepath.Join("testdata", name+".manifest.json"))
			must(t, err)
			must(t, json.Unmarshal(b, &want))
			dir := unpackDir(t, name)
			before := contents(t, dir)
			must(t, takeOver(dir, "", vfs.Default).Run(t.Context()))
			if kept := contents(t, filepath.Join(dir, AsideName)); !reflect.DeepEqual(kept, before) {
				t.Error("etcd's files were changed")
			}
			m := openMember(t, dir)
			m.compareTree(t, &want)
			again := filepath.Join(t.TempDir(), "data")
			_, err = Restore(t.Context(), RestoreOptions{Source: snapshotOf(t, m.fsm), DataDir: again, Name: "a", Members: initialOf("a")})
			must(t, err)
			openMember(t, again).compareTree(t, &want)
		})
	}
}

// TestDamagedOldTrees are refused.
func TestDamagedOldTrees(t *testing.T) {
	node := func(inside string) string {
		return `{"Root":{"Path":"/","Children":{"0":{"Children":{}},"1":{"Children":{` + inside + `}}}},"CurrentIndex":9}`
	}
	deep := strings.Repeat(`{"Children":{"a":`, 3000) + `{}` + strings.Repeat(`}}`, 3000)
	for _, c := range []struct{ name, data, want string }{
		{"nothing", ``, "no v2 store"},
		{"another thing", `[]`, "no v2 store"},
		{"cut short", node(`"a":{"Value":"x`)[:60], "no v2 store"},
		{"no root", `{"CurrentIndex":3}`, "no v2 store"},
		{"a value of another kind", node(`"a":{"Value":3}`), "no v2 store"},
		{"children of another kind", node(`"a":{"Children":3}`), "no v2 store"},
		{"a name with a slash", node(`"a/b":{}`), "is named"},
		{"a name that leads up", node(`"..":{}`), "is named"},
		{"too deep", node(`"a":` + deep), "levels"},
		{"from the future", node(`"a":{"CreatedIndex":1,"ModifiedIndex":10}`), "the store is at 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := engine.Open(filepath.Join(t.TempDir(), "engine"), engine.Options{})
			must(t, err)
			defer func() { must(t, e.Close()) }()
			if err := importOld([]byte(c.data), e); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzOldTree: no v2 store ends the reader.
func FuzzOldTree(f *testing.F) {
	f.Add([]byte(`{"Root":{"Children":{"0":{"Children":{"members":null}},"1":{"Children":{"a":{"Value":"v","ModifiedIndex":1,"CreatedIndex":1}}}}},` +
		`"WatcherHub":{"EventHistory":{"Queue":{"Events":[{"action":"set","node":{"key":"/1/a","modifiedIndex":1}},null]},"StartIndex":1}},"CurrentIndex":1,"Stats":{"setsSuccess":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := readTree(data, nil)
		if err == nil && root == nil {
			t.Error("neither a tree nor an error")
		}
		if err == nil {
			_, _, _ = membersOf(root) // it may refuse them, too
		}
	})
}
