package admission

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
)

// ProcessMemory tells how much memory the process has of the machine's, without what
// Go's heap holds and does not use.
func ProcessMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(sample)
	idle := int64(min(sample[0].Value.Uint64(), math.MaxInt64))
	return max(0, resident*int64(os.Getpagesize())-idle), nil
}

// AvailableMemory is how much the process may use: the least of what the machine has and
// what its control groups allow. root is the root of the file system, "/" but for tests.
func AvailableMemory(root string) (int64, error) {
	least, err := machineMemory(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0, err
	}
	for _, file := range limitFiles(root) {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // else it is "max"
			least = min(least, n)
		}
	}
	return least, nil
}

func machineMemory(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "MemTotal:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return kib << 10, nil
}

// limitFiles are the files that may tell of a limit: of the process's control group and
// of those above it, in both versions of control groups. Inside a container its own group
// is the root.
func limitFiles(root string) []string {
	groups := filepath.Join(root, "sys/fs/cgroup")
	files := []string{filepath.Join(groups, "memory.max"), filepath.Join(groups, "memory/memory.limit_in_bytes")}
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return files
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for at := filepath.Clean("/" + parts[2]); at != "/"; at = filepath.Dir(at) {
			switch parts[1] {
			case "":
				files = append(files, filepath.Join(groups, at, "memory.max"))
			case "memory":
				files = append(files, filepath.Join(groups, "memory", at, "memory.limit_in_bytes"))
			}
		}
	}
	return files
}
