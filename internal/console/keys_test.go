package console_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type child struct {
	Key    []byte
	Folder bool
	Count  int64
	Mod    int64
}

type treePage struct {
	Revision, Count int64
	Children        []child
	Next            []byte
}

// below is what the tree shows, from all keys: a model of it.
func below(keys []string, prefix, delimiter string) (all []string) {
	slices.Sort(keys)
	counts := map[string]int{}
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		skip := 0
		if strings.HasPrefix(rest, delimiter) {
			skip = len(delimiter)
		}
		if i := strings.Index(rest[skip:], delimiter); i >= 0 {
			folder := k[:len(prefix)+skip+i+len(delimiter)]
			if counts[folder]++; counts[folder] == 1 {
				all = append(all, folder+" folder")
			}
			continue
		}
		all = append(all, k)
	}
	for i, name := range all {
		if folder, ok := strings.CutSuffix(name, " folder"); ok {
			all[i] = fmt.Sprintf("%s folder of %d", folder, counts[folder])
		}
	}
	return all
}

// pages reads all pages of the tree.
func (r *rig) pages(prefix, delimiter string, limit int) (all []string) {
	r.t.Helper()
	var after []byte
	for range 1000 {
		var page treePage
		r.ask("tree", map[string]any{"prefix": []byte(prefix), "delimiter": delimiter, "after": after, "limit": limit}, &page)
		if len(page.Children) > limit {
			r.t.Fatalf("%d children, the limit is %d", len(page.Children), limit)
		}
		for _, c := range page.Children {
			name := string(c.Key)
			if c.Folder {
				name = fmt.Sprintf("%s folder of %d", c.Key, c.Count)
			}
			all = append(all, name)
		}
		if after = page.Next; len(after) == 0 {
			return all
		}
	}
	r.t.Fatal("the pages do not end")
	return nil
}

// TestTheTreeIsTheModels compares pages of every size with a model, on names that are
// not made for it.
func TestTheTreeIsTheModels(t *testing.T) {
	r := start(t)
	keys := []string{"/", "//", "///", "a", "a/", "a//b", "a/b", "a/b/", "a/b/c", "a/b0", "a0", "\x00", "\x00/", "\xff", "\xff/a", "\xff\xff", "\xff\xff/", "/\xff", "/\xff/\xff", "ü/ö", "→", "a→b→c", "a→b"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		name := make([]byte, 1+random.IntN(8))
		for i := range name {
			name[i] = "/ab\x00\xff"[random.IntN(5)]
		}
		if !slices.Contains(keys, string(name)) {
			keys = append(keys, string(name))
		}
	}
	for _, k := range keys {
		r.put(k, "")
	}
	for _, delimiter := range []string{"/", "→", "\x00", "ab"} {
		for _, prefix := range []string{"", "/", "a", "a/", "\xff", "\xff/", "a→", "//", "none", "\x00"} {
			want := below(keys, prefix, delimiter)
			for _, limit := range []int{1, 2, 7, 500} {
				if got := r.pages(prefix, delimiter, limit); !reflect.DeepEqual(got, want) {
					t.Fatalf("below %q by %q, %d at a time:\n%q, want\n%q", prefix, delimiter, limit, got, want)
				}
			}
		}
	}
}

// TestTheTreeJumps lists the children of a prefix with many keys in a moment, and one of
// long names within bounds.
func TestTheTreeJumps(t *testing.T) {
	r := start(t)
	const folders, each = 20, 400
	for i := range folders {
		ops := make([]clientv3.Op, each)
		for j := range ops {
			ops[j] = clientv3.OpPut(fmt.Sprintf("/many/%02d/%06d", i, j), "")
		}
		if _, err := r.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	got := r.pages("/many/", "/", 100)
	if took := time.Since(began); took > time.Second || len(got) != folders || got[3] != "/many/03/ folder of 400" {
		t.Errorf("%d folders after %s: %q", len(got), took, got)
	}
	long := strings.Repeat("long", 100_000)
	for i := range 12 {
		r.put(fmt.Sprintf("%s%02d", long, i), "")
	}
	if got := r.pages("l", "/", 500); len(got) != 12 {
		t.Errorf("%d long names", len(got))
	}
}

func TestSearching(t *testing.T) {
	r := start(t)
	for i := range 450 {
		r.put(fmt.Sprintf("/k/%04d-%s", i, []string{"Odd", "even"}[i%2]), "")
	}
	r.put("/z", "")
	for _, c := range []struct {
		prefix, text string
		want, looked int
	}{{"", "odd", 225, 451}, {"/k/", "ODD", 225, 450}, {"", "", 451, 451}, {"/z", "odd", 0, 1}, {"none", "x", 0, 0}, {"", "\x00", 0, 451}} {
		var after []byte
		found, looked, steps := map[string]bool{}, 0, 0
		for {
			var step struct {
				Hits   []child
				Looked int
				Next   []byte
			}
			r.ask("search", map[string]any{"prefix": []byte(c.prefix), "text": c.text, "after": after}, &step)
			for _, h := range step.Hits {
				found[string(h.Key)] = true
			}
			if len(step.Hits) > 200 {
				t.Fatalf("%d hits at once", len(step.Hits))
			}
			looked += step.Looked
			if after = step.Next; len(after) == 0 || steps > 10 {
				break
			}
			steps++
		}
		if len(found) != c.want || looked != c.looked {
			t.Errorf("%q below %q: %d found of %d, want %d of %d", c.text, c.prefix, len(found), looked, c.want, c.looked)
		}
	}
}

type past struct {
	Versions []struct {
		Mod, Create, Version int64
		Value                []byte
	}
	End    string
	Before int64
}

func (r *rig) history(key string, before int64, limit int) (h past) {
	r.t.Helper()
	r.ask("history", map[string]any{"key": []byte(key), "before": before, "limit": limit}, &h)
	return h
}

func TestHistory(t *testing.T) {
	r := start(t)
	var revisions []int64
	for i := range 30 {
		revisions = append(revisions, r.put("k", fmt.Sprint(i)))
		r.put("other", fmt.Sprint(i))
	}
	var values []string
	h := r.history("k", 0, 7)
	for {
		for _, v := range h.Versions {
			values = append(values, string(v.Value))
		}
		if h.End != "more" {
			break
		}
		h = r.history("k", h.Before, 7)
	}
	if len(values) != 30 || values[0] != "29" || values[29] != "0" || h.End != "created" {
		t.Errorf("%s: %q", h.End, values)
	}
	if _, err := r.client.Compact(t.Context(), revisions[20]); err != nil {
		t.Fatal(err)
	}
	if h := r.history("k", 0, 50); len(h.Versions) != 10 || h.End != "compacted" {
		t.Errorf("after a compaction: %d, %s", len(h.Versions), h.End)
	}
	if _, err := r.client.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if h := r.history("k", 0, 50); len(h.Versions) != 0 || h.End != "gone" {
		t.Errorf("of a key that is gone: %d, %s", len(h.Versions), h.End)
	}
	if h := r.history("k", revisions[29]+1, 3); len(h.Versions) != 3 || string(h.Versions[0].Value) != "29" {
		t.Errorf("before it went: %+v", h)
	}
	for i := range 12 {
		r.put("large", strings.Repeat(fmt.Sprint(i%10), 1<<20))
	}
	if h := r.history("large", 0, 50); len(h.Versions) > 6 || h.End != "more" {
		t.Errorf("%d large versions at once, %s", len(h.Versions), h.End)
	}
	if h := r.history("other", 0, 1_000_000); len(h.Versions) > 50 {
		t.Errorf("%d versions at once", len(h.Versions))
	}
}
