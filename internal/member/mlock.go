package member

import "fmt"

// lockMemory keeps this process's memory from being paged out, if that is asked for: what
// it has, and what it will come to use.
func lockMemory(cfg *Config) error {
	if !cfg.LockMemory {
		return nil
	}
	if err := mlockall(); err != nil {
		return fmt.Errorf("--memory-mlock: lock memory: %w (the limit on locked memory must be lifted: ulimit -l unlimited, "+
			"or LimitMEMLOCK=infinity in the unit)", err)
	}
	return nil
}
