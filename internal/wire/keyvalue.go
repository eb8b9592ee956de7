package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// KeyValue holds the fields of an encoded mvccpb.KeyValue. After Parse its slices
// share the bytes that were parsed.
type KeyValue struct {
	Key     []byte // field 1
	Create  int64  // field 2, create_revision
	Mod     int64  // field 3, mod_revision
	Version int64  // field 4
	Value   []byte // field 5
	Lease   int64  // field 6
}

// Tags of mvccpb.KeyValue: field number << 3 | wire type.
const (
	tagKey     = 1<<3 | 2
	tagCreate  = 2 << 3
	tagMod     = 3 << 3
	tagVersion = 4 << 3
	tagValue   = 5<<3 | 2
	tagLease   = 6 << 3
)

// AppendBytes appends a length-delimited field unless it is empty. tag is the
// whole one-byte tag.
func AppendBytes(dst []byte, tag byte, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return AppendMessage(dst, tag, b)
}

// AppendMessage appends a length-delimited field, even an empty one.
func AppendMessage(dst []byte, tag byte, b []byte) []byte {
	dst = append(dst, tag)
	dst = protowire.AppendVarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// AppendInt appends a varint field unless it is zero.
func AppendInt(dst []byte, tag byte, v int64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, tag), uint64(v))
}

// AppendBool appends a bool field unless it is false.
func AppendBool(dst []byte, tag byte, v bool) []byte {
	if !v {
		return dst
	}
	return append(dst, tag, 1)
}

// Size returns the length of kv's encoding.
func (kv *KeyValue) Size() int {
	return sizeBytes(kv.Key) + sizeInt(kv.Create) + sizeInt(kv.Mod) + sizeInt(kv.Version) +
		sizeBytes(kv.Value) + sizeInt(kv.Lease)
}

func sizeBytes(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(len(b))
}

func sizeInt(v int64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(v))
}

// Append appends kv's encoding to dst.
func (kv *KeyValue) Append(dst []byte) []byte {
	dst = AppendBytes(dst, tagKey, kv.Key)
	dst = AppendInt(dst, tagCreate, kv.Create)
	dst = AppendInt(dst, tagMod, kv.Mod)
	dst = AppendInt(dst, tagVersion, kv.Version)
	dst = AppendBytes(dst, tagValue, kv.Value)
	return AppendInt(dst, tagLease, kv.Lease)
}

// ParseKeyValue decodes an encoded mvccpb.KeyValue. Unknown fields are skipped.
func ParseKeyValue(b []byte) (KeyValue, error) {
	var kv KeyValue
	for i := 0; i < len(b); {
		tag, n := protowire.ConsumeVarint(b[i:])
		if n < 0 {
			return KeyValue{}, badKeyValue(b, i)
		}
		i += n
		switch tag {
		case tagKey, tagValue:
			v, n := protowire.ConsumeBytes(b[i:])
			if n < 0 {
				return KeyValue{}, badKeyValue(b, i)
			}
			i += n
			if tag == tagKey {
				kv.Key = v
			} else {
				kv.Value = v
			}
		case tagCreate, tagMod, tagVersion, tagLease:
			v, n := protowire.ConsumeVarint(b[i:])
			if n < 0 {
				return KeyValue{}, badKeyValue(b, i)
			}
			i += n
			kv.setInt(tag, int64(v))
		default:
			num, kind := protowire.DecodeTag(tag)
			n := protowire.ConsumeFieldValue(num, kind, b[i:])
			if n < 0 || !num.IsValid() {
				return KeyValue{}, badKeyValue(b, i)
			}
			i += n
		}
	}
	return kv, nil
}

func (kv *KeyValue) setInt(tag uint64, v int64) {
	switch tag {
	case tagCreate:
		kv.Create = v
	case tagMod:
		kv.Mod = v
	case tagVersion:
		kv.Version = v
	case tagLease:
		kv.Lease = v
	}
}

func badKeyValue(b []byte, at int) error {
	return fmt.Errorf("wire: damaged key-value record of %d bytes at offset %d", len(b), at)
}

// WithoutValueAndLease returns the leading part of a well-formed record: its
// fields up to the version. It shares b's bytes.
func WithoutValueAndLease(b []byte) []byte {
	for i := 0; i < len(b); {
		start := i
		switch b[i] {
		case tagKey:
			_, n := protowire.ConsumeBytes(b[i+1:])
			if n < 0 {
				return b
			}
			i += 1 + n
		case tagCreate, tagMod, tagVersion:
			_, n := protowire.ConsumeVarint(b[i+1:])
			if n < 0 {
				return b
			}
			i += 1 + n
		default:
			return b[:start]
		}
	}
	return b
}

// KeyOf returns the key of a well-formed record, which begins with it. It shares
// b's bytes.
func KeyOf(b []byte) []byte {
	if len(b) == 0 || b[0] != tagKey {
		return nil
	}
	key, n := protowire.ConsumeBytes(b[1:])
	if n < 0 {
		return nil
	}
	return key
}
