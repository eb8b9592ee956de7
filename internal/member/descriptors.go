package member

import (
	"os"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// descriptorLimit is how many file descriptors the process may have.
func descriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}

// descriptorsUsed is how many the process has; false where the system does not tell.
func descriptorsUsed() (n uint64, ok bool) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return uint64(max(len(names)-1, 0)), err == nil // without dir
}

// descriptors notices when they become scarce: then neither clients nor files can be
// opened before long.
type descriptors struct{ scarce bool }

// check warns once each time that used reaches four fifths of the limit.
func (d *descriptors) check(used, limit uint64, log *zap.Logger) {
	scarce := used >= limit/5*4
	if scarce && !d.scarce {
		log.Warn("80% of file descriptors are used", zap.Uint64("used", used), zap.Uint64("limit", limit))
	}
	d.scarce = scarce
}

func (d *descriptors) look(log *zap.Logger) {
	limit, err := descriptorLimit()
	if err != nil {
		return
	}
	if used, ok := descriptorsUsed(); ok {
		d.check(used, limit, log)
	}
}
