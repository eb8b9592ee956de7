package member

import "github.com/cockroachdb/pebble/v2/vfs"

// unsyncedFS never waits for the disk, which --unsafe-no-fsync asks for: what was
// acknowledged is lost if the machine stops, and the member may not start again.
type unsyncedFS struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (fs unsyncedFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS.
func (fs unsyncedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return unsynced(fs.FS.Create(name, category))
}

// OpenReadWrite implements vfs.FS.
func (fs unsyncedFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return unsynced(fs.FS.OpenReadWrite(name, category, opts...))
}

// OpenDir implements vfs.FS.
func (fs unsyncedFS) OpenDir(name string) (vfs.File, error) { return unsynced(fs.FS.OpenDir(name)) }

// ReuseForWrite implements vfs.FS.
func (fs unsyncedFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return unsynced(fs.FS.ReuseForWrite(old, name, category))
}

func unsynced(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ vfs.File }

// Sync implements vfs.File.
func (unsyncedFile) Sync() error { return nil }

// SyncData implements vfs.File.
func (unsyncedFile) SyncData() error { return nil }

// SyncTo implements vfs.File.
func (unsyncedFile) SyncTo(int64) (fullSync bool, err error) { return false, nil }
