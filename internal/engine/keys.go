package engine

import (
	"encoding/binary"
	"fmt"
)

// Class is the first byte of every stored key and names its key space.
type Class byte

// The key spaces. The numbers are stored; see docs/format/engine.md.
const (
	ClassMeta       Class = 0x01
	ClassRevision   Class = 0x02
	ClassVersion    Class = 0x03
	ClassCount      Class = 0x04
	ClassLease      Class = 0x05
	ClassAttachment Class = 0x06
	ClassAuth       Class = 0x07
	ClassMember     Class = 0x08
	ClassAlarm      Class = 0x09
	ClassV2         Class = 0x0a
)

const (
	// terminator ends the prefix of every key. It sorts below every byte that
	// could continue a longer key, so stored prefixes sort as the bodies do.
	terminator = 0x00
	// suffixLen is the length of a version's suffix, and its last byte.
	suffixLen = 13
)

// AppendKey appends the stored key of a record that has no versions.
func AppendKey(dst []byte, class Class, body []byte) []byte {
	dst = append(dst, byte(class))
	dst = append(dst, body...)
	return append(dst, terminator)
}

// Key is AppendKey into a fresh slice.
func Key(class Class, body []byte) []byte {
	return AppendKey(make([]byte, 0, len(body)+2), class, body)
}

// ClassEnd is the exclusive upper bound of a key space: a valid key that sorts
// behind all of its keys.
func ClassEnd(class Class) []byte { return []byte{byte(class) + 1, terminator} }

// ClassStart is the inclusive lower bound of a key space.
func ClassStart(class Class) []byte { return []byte{byte(class), terminator} }

// AppendVersionKey appends the stored key of one version of a user key. The
// revision is inverted, so that the versions of a key come newest first.
func AppendVersionKey(dst, userKey []byte, main, sub int64) []byte {
	dst = AppendKey(dst, ClassVersion, userKey)
	dst = binary.BigEndian.AppendUint64(dst, ^uint64(main))
	dst = binary.BigEndian.AppendUint32(dst, ^uint32(sub))
	return append(dst, suffixLen)
}

// VersionRevision returns the revision in a version's stored key.
func VersionRevision(stored []byte) (main, sub int64) {
	s := stored[len(stored)-suffixLen:]
	return int64(^binary.BigEndian.Uint64(s)), int64(^binary.BigEndian.Uint32(s[8:]))
}

// VersionUserKey returns the user key in a version's stored key; it shares
// stored's bytes.
func VersionUserKey(stored []byte) []byte {
	return stored[1 : len(stored)-suffixLen-1]
}

// AppendRevisionKey appends the stored key of a revision record.
func AppendRevisionKey(dst []byte, main, sub int64) []byte {
	dst = append(dst, byte(ClassRevision))
	dst = binary.BigEndian.AppendUint64(dst, uint64(main))
	dst = binary.BigEndian.AppendUint32(dst, uint32(sub))
	return append(dst, terminator)
}

// ParseRevisionKey is the inverse of AppendRevisionKey.
func ParseRevisionKey(stored []byte) (main, sub int64, err error) {
	if len(stored) != 14 || stored[0] != byte(ClassRevision) {
		return 0, 0, fmt.Errorf("engine: %x is not the key of a revision record", stored)
	}
	return int64(binary.BigEndian.Uint64(stored[1:])), int64(binary.BigEndian.Uint32(stored[9:])), nil
}

// Body returns what AppendKey was given; it shares stored's bytes.
func Body(stored []byte) []byte { return stored[1 : len(stored)-1] }
