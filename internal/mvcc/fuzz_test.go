package mvcc

import (
	"bytes"
	"testing"

	"bowline/internal/engine"
)

// FuzzRevisionRecord: a revision record is refused or means the same when it is
// written again.
func FuzzRevisionRecord(f *testing.F) {
	c := change{kind: KindUpdate, prev: Revision{Main: 300, Sub: 2}, crc: 0xdeadbeef, size: 400, key: []byte("k")}
	key := engine.AppendRevisionKey(nil, 7, 1)
	f.Add(key, appendChange(nil, &c))
	f.Add(key, []byte{})
	f.Add([]byte("short"), appendChange(nil, &c))
	f.Add(key, []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		c, err := parseChange(key, value)
		if err != nil {
			return
		}
		if !bytes.Equal(engine.AppendRevisionKey(nil, c.rev.Main, c.rev.Sub), key) && key[len(key)-1] == 0 {
			t.Fatalf("%x is the key of %v", key, c.rev)
		}
		again, err := parseChange(key, appendChange(nil, &c))
		if err != nil || again.rev != c.rev || again.kind != c.kind || again.prev != c.prev || again.crc != c.crc ||
			again.size != c.size || !bytes.Equal(again.key, c.key) {
			t.Fatalf("%x is %+v, and written again %+v (%v)", value, c, again, err)
		}
	})
}

// FuzzVersionRecord: a stored version is refused or yields its parts.
func FuzzVersionRecord(f *testing.F) {
	f.Add([]byte{byte(KindCreate), 0x0a, 1, 'k', 0x10, 2, 0x18, 2, 0x20, 1})
	f.Add([]byte{byte(KindDelete), 0x0a, 1, 'k'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, stored []byte) {
		v, err := parseVersion(Revision{Main: 2}, stored)
		if err != nil {
			return
		}
		_ = v.live()
		if len(v.kv()) != len(stored)-1 {
			t.Fatalf("%x: %x", stored, v.kv())
		}
	})
}
