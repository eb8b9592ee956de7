package transport

import (
	"bytes"
	hexcode "encoding/hex"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// captured are bytes that etcd has sent over a stream of entries: a whole message, a commit index, an entry, a sign of life.
var captured = strings.Join([]string{
	"02 0000000000000024 0803 10bfdc8bf6badda0e458 18c3ffef8beac6d2822d 2002 2801 3002 3a04 10021803 4002",
	"01 0000000000000000 0000000000000005",
	"01 0000000000000001 000000000000001e 10021807 2218 22080a026b3112027631 a2060b0883f6cfe2f7bfe8e1ff01 0000000000000006",
	"00",
}, "")

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hexcode.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadsWhatEtcdSends(t *testing.T) {
	first := strings.Index(captured, "01 0000000000000000")
	d := newDecoder(entryStream, bytes.NewReader(unhex(t, captured[:first])), 1, 2)
	m, err := d.next()
	if err != nil {
		t.Fatal(err)
	}
	if m.GetTerm() != 2 || m.GetLogTerm() != 1 || m.GetIndex() != 2 || m.GetCommit() != 2 || len(m.Entries) != 1 || m.Entries[0].GetIndex() != 3 {
		t.Errorf("got %v", m)
	}
	// The rest was not sent right behind it.
	d = newDecoder(entryStream, bytes.NewReader(unhex(t, captured[first:])), 1, 2)
	d.track = track{2, 6}
	want := []*raftpb.Message{appendOf(1, 2, 2, 6, 5), appendOf(1, 2, 2, 6, 6, string(unhex(t, "22080a026b3112027631a2060b0883f6cfe2f7bfe8e1ff01"))), nil}
	for i, w := range want {
		m, err := d.next()
		if err != nil || !proto.Equal(m, w) {
			t.Errorf("%d: got %v, %v, want %v", i, m, err, w)
		}
	}
	for _, life := range []string{"0000000000000002 0808", "0000000000000014 0808100018002000280030004000500058006800"} {
		m, err := newDecoder(messageStream, bytes.NewReader(unhex(t, life)), 1, 2).next()
		if m != nil || err != nil {
			t.Errorf("%s is %v, %v", life, m, err)
		}
	}
}

// FuzzEntries: what is read from a stream of entries is written so that the same is read again.
func FuzzEntries(f *testing.F) {
	f.Add(unhex(f, captured))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add(unhex(f, "02 7fffffffffffffff 0803"))
	f.Add(unhex(f, "02 000000000000000a 0803 2002 2802 3002 4002 01 0000000000000001 0000000000000004 10021803 0000000000000003"))
	f.Fuzz(func(t *testing.T, b []byte) { readAndWrite(t, entryStream, b) })
}

func FuzzMessages(f *testing.F) {
	f.Add(unhex(f, "0000000000000002 0808"))
	f.Add(unhex(f, "000000000000000a 0803 2002 2802 3002 4002"))
	f.Add(unhex(f, "ffffffffffffffff 0808"))
	f.Fuzz(func(t *testing.T, b []byte) { readAndWrite(t, messageStream, b) })
}

func readAndWrite(t *testing.T, kind streamKind, b []byte) {
	var read []*raftpb.Message
	var written []byte
	e := encoder{kind: kind}
	for d := newDecoder(kind, bytes.NewReader(b), 1, 2); ; {
		m, err := d.next()
		if err != nil {
			break
		}
		if cap(d.buf) > 2*max(len(b), firstBytes) {
			t.Fatalf("%d bytes made a buffer of %d", len(b), cap(d.buf))
		}
		if m == nil {
			written = e.heartbeat(written)
		} else if written, err = e.append(written, m); err != nil {
			t.Fatal(err)
		}
		_ = check(m)
		read = append(read, m)
	}
	d := newDecoder(kind, bytes.NewReader(written), 1, 2)
	for i, m := range read {
		again, err := d.next()
		if err != nil || !same(kind, m, again) {
			t.Fatalf("%d: %v was written as %x, which is %v, %v", i, m, written, again, err)
		}
	}
}

// same compares messages. Where only entries are sent, the receiver adds the rest.
func same(kind streamKind, a, b *raftpb.Message) bool {
	if proto.Equal(a, b) {
		return true
	}
	if kind == messageStream || a == nil || b == nil || len(a.Entries) != len(b.Entries) {
		return false
	}
	for i := range a.Entries {
		a.Entries[i].ProtoReflect().SetUnknown(nil) // not passed on
		if !proto.Equal(a.Entries[i], b.Entries[i]) {
			return false
		}
	}
	return a.GetTerm() == b.GetTerm() && a.GetLogTerm() == b.GetLogTerm() && a.GetIndex() == b.GetIndex() && a.GetCommit() == b.GetCommit()
}

// FuzzEntry: the decoder by hand reads what the generic one reads, and appendEntry writes it back.
func FuzzEntry(f *testing.F) {
	f.Add(unhex(f, "10021807 2218 22080a026b3112027631 a2060b0883f6cfe2f7bfe8e1ff01"))
	f.Add(unhex(f, "0801 1002 1803 2200"))
	f.Add(unhex(f, "08ffffffffffffffffff01"))
	f.Add(unhex(f, "2a00 1080"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a entryArena
		mine, err := a.decode(b)
		generic := new(raftpb.Entry)
		if genericErr := proto.Unmarshal(b, generic); (err != nil) != (genericErr != nil) {
			t.Fatalf("%x: %v, but %v", b, err, genericErr)
		} else if err != nil {
			return
		}
		if !proto.Equal(mine, generic) {
			t.Fatalf("%x is %v, want %v", b, mine, generic)
		}
		generic.ProtoReflect().SetUnknown(nil)
		raw, err := proto.Marshal(generic)
		if err != nil {
			t.Fatal(err)
		}
		if out := appendEntry(nil, generic); !bytes.Equal(out[8:], raw) {
			t.Fatalf("%v is written as %x, want %x", generic, out[8:], raw)
		}
	})
}
