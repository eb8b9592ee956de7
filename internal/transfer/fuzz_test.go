package transfer

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzOffer: what is taken for an offer names files inside the directory, and a message
// that raft can be given.
func FuzzOffer(f *testing.F) {
	f.Add([]byte(`{"message":"","files":[]}`))
	f.Add([]byte(`{"message":"CAc=","files":[{"name":"../x","size":-1,"sha256":""}]}`))
	f.Add([]byte(`{"files":[{"name":"000001.sst","size":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, m, err := parseOffer(data)
		if err != nil {
			return
		}
		if m.GetSnapshot().GetMetadata() == nil || len(o.Files) > maxFiles {
			t.Errorf("%v with %d files", m, len(o.Files))
		}
		for _, file := range o.Files {
			if file.Size < 0 || bytes.ContainsAny([]byte(file.Name), "/\\\x00") || file.Name == ".." || file.Name == "" {
				t.Errorf("%+v", file)
			}
		}
	})
}

// FuzzImageMessage: what stands before an image is raft's message about a state, or is
// refused; its length alone allocates little.
func FuzzImageMessage(f *testing.F) {
	f.Add(binary.BigEndian.AppendUint64(nil, 3))
	f.Add(append(binary.BigEndian.AppendUint64(nil, 2), 8, 7))
	f.Add(binary.BigEndian.AppendUint64(nil, 1<<63))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readImageMessage(bytes.NewReader(data))
		if err == nil && m.GetSnapshot().GetMetadata().GetIndex() == 0 {
			t.Errorf("%v", m)
		}
	})
}
