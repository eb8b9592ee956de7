package member

import (
	"errors"

	"golang.org/x/sys/unix"
)

var errLimited = errors.New("the process may lock only a part of its memory")

// mlockall locks pages when they are first used: the runtime reserves far more addresses
// than it uses. Under a limit every later request for memory could fail, and Go ends then.
func mlockall() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return err
	}
	if limit.Cur != unix.RLIM_INFINITY && !mayLock() {
		return errLimited
	}
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
}

// mayLock tells whether the limit does not hold for this process.
func mayLock() bool {
	const ipcLock = 1 << 14
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	return unix.Capget(&header, &sets[0]) == nil && sets[0].Effective&ipcLock != 0
}
