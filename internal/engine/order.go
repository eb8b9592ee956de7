package engine

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// orderedFS makes the directory durable before a marker is created in it. A marker names the manifest that is to be read,
// and Pebble relies on the file system to make the manifest's name durable before the marker's. Few promise that: after
// a crash in between, the marker would name a file that does not exist, and the engine could not be opened.
type orderedFS struct{ vfs.FS }

const markerPrefix = "marker."

// Unwrap implements vfs.FS.
func (fs orderedFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS.
func (fs orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(fs.PathBase(name), markerPrefix) {
		dir, err := fs.OpenDir(fs.PathDir(name))
		if err == nil {
			err = errors.Join(dir.Sync(), dir.Close())
		}
		if err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, category)
}
