package admission

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemory: memory is short above the watermark, if collecting garbage does not help,
// until it is clearly below.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live, garbage, collections atomic.Int64
		var broken atomic.Bool
		m := NewMemory(MemoryConfig{Watermark: 1600, Now: time.Now,
			Used: func() (int64, error) {
				if broken.Load() {
					return 0, errors.New("broken")
				}
				return live.Load() + garbage.Load(), nil
			},
			Collect: func() { garbage.Store(0); collections.Add(1) }})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go m.Run(ctx)
		for i, step := range []struct {
			live, garbage int64
			broken        bool
			wait          time.Duration
			short         bool
			collections   int64
		}{
			{1000, 0, false, 0, false, 0},
			{1600, 0, false, 0, false, 0},
			{1000, 700, false, 0, false, 1},                // it was garbage
			{1000, 700, false, 0, true, 1},                 // collected a moment ago: not again so soon
			{1000, 700, false, 10 * time.Second, false, 2}, // but then
			{1601, 0, false, 10 * time.Second, true, 3},
			{1501, 0, false, 0, true, 3}, // not clearly below
			{1500, 0, false, 0, false, 3},
			{9999, 0, false, 10 * time.Second, true, 4},
			{9999, 0, true, 0, false, 4}, // nobody knows
		} {
			live.Store(step.live)
			garbage.Store(step.garbage)
			broken.Store(step.broken)
			time.Sleep(step.wait + lookInterval)
			synctest.Wait()
			if m.Short() != step.short || collections.Load() != step.collections {
				t.Errorf("step %d: short %v after %d collections", i, m.Short(), collections.Load())
			}
		}
	})
}

func TestWatchesWhileMemoryIsShort(t *testing.T) {
	now := time.Unix(1, 0)
	used := int64(2)
	m := NewMemory(MemoryConfig{Watermark: 1, Now: func() time.Time { return now }, Collect: func() {},
		Used: func() (int64, error) { return used, nil }})
	create := func() (n int) {
		for range 1000 {
			if m.NewWatch() == nil {
				n++
			}
		}
		return n
	}
	if n := create(); n != 1000 {
		t.Errorf("%d while there is enough", n)
	}
	m.look()
	if n := create(); n != watchesPerSecond {
		t.Errorf("%d at once", n)
	}
	now = now.Add(time.Second / 2)
	if n := create(); n != watchesPerSecond/2 {
		t.Errorf("%d half a second later", n)
	}
	if s := m.Stats(); !s.Short || s.Used != 2 || s.Watermark != 1 || s.Refused != 1000-100+1000-50 {
		t.Errorf("%+v", s)
	}
	var none *Memory
	if none.Short() || none.NewWatch() != nil || none.Stats() != (MemoryStats{}) {
		t.Error("memory that nobody watches is short")
	}
}

func TestCosts(t *testing.T) {
	now := time.Unix(1, 0)
	c := NewCosts(CostsConfig{Requests: 10, Bytes: 1000, Now: func() time.Time { return now }})
	ask := func(user string, bytes int) (n int, err error) {
		for err == nil && n < 1000 {
			if err = c.Begin(user, bytes); err == nil {
				n++
			}
		}
		return n, err
	}
	for _, step := range []struct {
		user  string
		wait  time.Duration
		bytes int
		want  int
		err   error
	}{
		{"a", 0, 1, 10, ErrTooManyRequests},
		{"b", 0, 500, 2, ErrTooManyBytes},
		{"a", 100 * time.Millisecond, 1, 1, ErrTooManyRequests},
		{"a", time.Hour, 1, 10, ErrTooManyRequests}, // no more than a second's worth is saved
		{"c", 0, 3000, 1, ErrTooManyBytes},          // one may be larger than what there is
		{"c", 2 * time.Second, 1, 0, ErrTooManyBytes},
		{"c", time.Second / 2, 1, 10, ErrTooManyRequests},
	} {
		now = now.Add(step.wait)
		if n, err := ask(step.user, step.bytes); n != step.want || !errors.Is(err, step.err) {
			t.Errorf("%s: %d of %d bytes, then %v; want %d, then %v", step.user, n, step.bytes, err, step.want, step.err)
		}
	}
	c.Charge("d", 1_000_000, 5000)
	now = now.Add(5 * time.Second) // what a stream asks does not keep its user out for days
	if n, _ := ask("d", 0); n != 10 {
		t.Errorf("%d after a long stream", n)
	}
	if r := c.Refused(); r["a"] != 3 || r["c"] != 3 {
		t.Error(r)
	}
	if NewCosts(CostsConfig{Now: time.Now}).Begin("a", 1<<40) != nil {
		t.Error("a limit that is not set")
	}
}

// TestSpendersAreBounded: strangers cannot make the member remember them all, nor forget
// those who have spent what there was.
func TestSpendersAreBounded(t *testing.T) {
	now := time.Unix(1, 0)
	c := NewCosts(CostsConfig{Requests: 1, Now: func() time.Time { return now }})
	for i := range 3 * maxSpenders {
		_ = c.Begin(fmt.Sprint(i), 0)
		_ = c.Begin(fmt.Sprint(i), 0)
	}
	if len(c.by) > maxSpenders+1 || len(c.refused) > maxShown+1 {
		t.Errorf("%d users are remembered, %d shown", len(c.by), len(c.refused))
	}
	if c.Begin("0", 0) == nil {
		t.Error("who has spent all was forgotten")
	}
	if c.Begin("new", 0) == nil {
		t.Error("the others do not share")
	}
	now = now.Add(time.Second)
	if c.Begin("new", 0) != nil || len(c.by) > 2 {
		t.Errorf("after a second %d are remembered", len(c.by))
	}
}

func TestAvailableMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no groups", nil, 1000 << 10},
		{"a container", map[string]string{"sys/fs/cgroup/memory.max": "4096\n"}, 4096},
		{"without a limit", map[string]string{"sys/fs/cgroup/memory.max": "max\n"}, 1000 << 10},
		{"a service's slice", map[string]string{"proc/self/cgroup": "0::/system.slice/etcd.service\n",
			"sys/fs/cgroup/system.slice/etcd.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "8192\n"}, 8192},
		{"the first version", map[string]string{"proc/self/cgroup": "5:memory:/x\n3:cpu:/y\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "7000\n"}, 7000},
		{"the first version without a limit", map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1000 << 10},
	} {
		root := t.TempDir()
		files := map[string]string{"proc/meminfo": "MemTotal:        1000 kB\nMemFree: 1 kB\n"}
		for name, text := range c.files {
			files[name] = text
		}
		for name, text := range files {
			file := filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := AvailableMemory(root); n != c.want || err != nil {
			t.Errorf("%s: %d %v, want %d", c.name, n, err, c.want)
		}
	}
	if n, err := ProcessMemory(); err != nil || n < 1<<20 || n > 10<<30 {
		t.Errorf("this process has %d bytes, %v", n, err)
	}
}
