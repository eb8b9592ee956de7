package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The names in a member's directory that more than one part of the program knows;
// docs/format/engine.md has them all.
const (
	// MemberDir is the directory in the data directory that holds everything, DirName
	// the one below it that the engine begins in, and LogDirName the log's.
	MemberDir  = "member"
	DirName    = "engine"
	LogDirName = "wal"
	// PointerFile names the engine's directory, once that is not DirName but one that
	// was received from another member, and begins with ReceivedPrefix.
	PointerFile    = "ENGINE"
	ReceivedPrefix = "engine-"
	// FormatFile tells whose directory it is: FormatPrefix and the version of the
	// layout. LockFile is locked while somebody uses it.
	FormatFile    = "FORMAT"
	FormatPrefix  = "bowline "
	FormatVersion = 1
	LockFile      = "LOCK"
	// SignpostFile is where etcd has its database. Here it is a text that says so: who
	// looks there finds the way, and an etcd that is started here ends at once.
	SignpostFile = "snap/db"
	// RestoringDir, beside MemberDir, is a restore that did not come to its end.
	RestoringDir = "member.restoring"
)

// Signpost is what SignpostFile says.
const Signpost = "This data directory is Bowline's. etcd cannot read it: the keys are in ../engine, not in this file.\n" +
	"To look at it, or to take it to etcd: etcdutl snapshot status, hashkv and restore take the name of this file, and\n" +
	"etcdctl snapshot save makes a file that etcd restores.\n"

// maxPointer is more than a pointer file ever holds.
const maxPointer = 4 << 10

// Current returns the engine's directory in a member's.
func Current(fs vfs.FS, memberDir string) (string, error) {
	pointer := fs.PathJoin(memberDir, PointerFile)
	f, err := fs.Open(pointer)
	if errors.Is(err, os.ErrNotExist) {
		return fs.PathJoin(memberDir, DirName), nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read which directory the engine is in: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPointer))
	if err != nil {
		return "", fmt.Errorf("cannot read which directory the engine is in: %w", err)
	}
	name := strings.TrimSuffix(string(b), "\n")
	if name != DirName && !strings.HasPrefix(name, ReceivedPrefix) || strings.ContainsAny(name, "/\\\n") {
		return "", fmt.Errorf("%s holds %q, which is no name of an engine's directory; write the right one into it, or replace this member",
			pointer, name)
	}
	return fs.PathJoin(memberDir, name), nil
}
