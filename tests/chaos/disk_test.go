package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// smallDisk is the size of the file system that the first member has to itself.
const smallDisk = 512 << 20

// mountSmallDisk puts a small file system where the first member of a cluster below
// dir will live, and tells whether the system allows that.
func mountSmallDisk(t *testing.T, dir string) bool {
	if os.Getuid() != 0 {
		t.Log("full disks are left out: only root may mount one that is small")
		return false
	}
	at := filepath.Join(dir, "m1")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%d", smallDisk)); err != nil {
		t.Logf("full disks are left out: %v", err)
		return false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	return true
}

// fullDisk fills the disk of the first member for a while. Growth is refused then,
// by an alarm that must lift itself.
func fullDisk(ctx context.Context, w *world) error {
	m := w.cluster.Members[0]
	filler := filepath.Join(filepath.Dir(m.DataDir), "filler")
	written, err := fill(filler)
	if err != nil {
		return err
	}
	w.did("    %s: %d MiB fill its disk", m.Name, written>>20)
	alarms, err := w.waitForAlarm(ctx, true, 6*time.Second)
	if err != nil {
		return err
	}
	w.did("    alarms: %v", alarms)
	if err := errors.Join(w.pause(ctx, w.between(time.Second, 3*time.Second)), os.Remove(filler)); err != nil {
		return err
	}
	if !m.Running() {
		w.did("    %s had ended: %s", m.Name, m.Log(1))
		if err := m.Launch(); err != nil {
			return err
		}
	}
	if alarms, err = w.waitForAlarm(ctx, false, patience); err == nil && len(alarms) > 0 {
		err = fmt.Errorf("there is room again, but there are alarms: %v", alarms)
	}
	return err
}

// fill writes a file until there is no room.
func fill(path string) (written int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	written, err = io.CopyN(f, endless{}, smallDisk)
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return written, errors.Join(err, f.Close())
}

// endless reads as zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// waitForAlarm asks for alarms until there are some, or none. It gives up without an
// error.
func (w *world) waitForAlarm(ctx context.Context, some bool, patience time.Duration) (alarms []*pb.AlarmMember, err error) {
	for began := time.Now(); time.Since(began) < patience; {
		leader, err := w.cluster.Leader(ctx)
		if err != nil {
			return nil, err
		}
		c, err := dial(leader)
		if err != nil {
			return nil, err
		}
		resp, err := c.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
		c.conn.Close()
		if err == nil {
			if alarms = resp.Alarms; len(alarms) > 0 == some {
				break
			}
		}
		if err := w.pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return alarms, nil
}
