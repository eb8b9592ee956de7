package lease

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

func TestStoredForm(t *testing.T) {
	for _, c := range []struct {
		lease Lease
		want  []byte
	}{
		{Lease{}, nil},
		{Lease{ID: 0x1234, TTL: 3600}, []byte{0x08, 0xb4, 0x24, 0x10, 0x90, 0x1c}},
		{Lease{ID: 1, TTL: 2, Remaining: 3}, []byte{0x08, 1, 0x10, 2, 0x18, 3}},
		{Lease{ID: -1, TTL: 2}, []byte{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x10, 2}},
	} {
		got := c.lease.Append([]byte("before"))
		if !bytes.Equal(got, append([]byte("before"), c.want...)) {
			t.Errorf("%+v is stored as %x, want %x", c.lease, got[6:], c.want)
		}
		back, err := Parse(c.want)
		if err != nil || back != c.lease {
			t.Errorf("%x is read as %+v, %v", c.want, back, err)
		}
	}
	for _, damaged := range [][]byte{{0x08}, {0x08, 0xff}, {0x80}, {0x12, 5, 1}, {0x00}} {
		if l, err := Parse(damaged); err == nil {
			t.Errorf("%x is read as %+v", damaged, l)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Lease{ID: -5, TTL: MaxTTL, Remaining: 7}.Append(nil))
	f.Add([]byte{0x22, 1, 2, 0x08, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(l.Append(nil))
		if err != nil || again != l {
			t.Fatalf("%+v comes back as %+v, %v", l, again, err)
		}
	})
}

func TestMinTTL(t *testing.T) {
	for timeout, want := range map[time.Duration]int64{
		time.Second: 2, 2 * time.Second: 3, 1400 * time.Millisecond: 3, 50 * time.Second: 75, 100 * time.Millisecond: 1,
	} {
		if got := MinTTL(timeout); got != want {
			t.Errorf("MinTTL(%v) = %d, want %d", timeout, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	tab := NewTable(2)
	for _, c := range []struct {
		id, ttl int64
		granted int64
		err     error
	}{
		{7, 10, 10, nil},
		{7, 10, 0, ErrExists},
		{-7, 0, 2, nil},
		{8, -5, 2, nil},
		{9, MaxTTL, MaxTTL, nil},
		{10, MaxTTL + 1, 0, ErrTTLTooLarge},
		{7, MaxTTL + 1, 0, ErrTTLTooLarge},
		{0, MaxTTL + 1, 0, ErrNotFound},
	} {
		l, err := tab.Grant(c.id, c.ttl)
		if !errors.Is(err, c.err) || l.TTL != c.granted {
			t.Errorf("Grant(%d, %d) = %+v, %v", c.id, c.ttl, l, err)
		}
	}
	if l, ok := tab.SetRemaining(7, 4); !ok || l != (Lease{7, 10, 4}) || l.Left() != 4*time.Second {
		t.Errorf("SetRemaining = %+v, %v", l, ok)
	}
	if l, ok := tab.Get(7); !ok || l.Remaining != 4 {
		t.Errorf("Get = %+v, %v", l, ok)
	}
	if _, ok := tab.SetRemaining(100, 4); ok {
		t.Error("an unknown lease has a remaining TTL")
	}
	if err := tab.Revoke(8); err != nil {
		t.Error(err)
	}
	if err := tab.Revoke(8); !errors.Is(err, ErrNotFound) {
		t.Errorf("second revocation: %v", err)
	}
	if ids := tab.IDs(); !slices.Equal(ids, []int64{-7, 7, 9}) || tab.Len() != 3 {
		t.Errorf("leases %v, %d", ids, tab.Len())
	}
	other := NewTable(2)
	other.Load(tab.All())
	if ids := other.IDs(); !slices.Equal(ids, tab.IDs()) {
		t.Errorf("loaded %v", ids)
	}
	for range tab.All() {
		break
	}
}

func TestTextsOfRefusals(t *testing.T) {
	for err, text := range map[error]string{
		ErrNotFound:    "etcdserver: requested lease not found",
		ErrExists:      "etcdserver: lease already exists",
		ErrTTLTooLarge: "etcdserver: too large lease TTL",
		ErrNotPrimary:  "not a primary lessor",
	} {
		if err.Error() != text {
			t.Errorf("%v", err)
		}
	}
}

func TestLongTTLsDoNotOverflow(t *testing.T) {
	for _, ttl := range []int64{MaxTTL, math.MaxInt64} {
		if d := (Lease{TTL: ttl}).Left(); d < 280*365*24*time.Hour || d+2*365*24*time.Hour < d {
			t.Errorf("%d seconds are %v", ttl, d)
		}
	}
}
