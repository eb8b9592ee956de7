//go:build !linux

package member

import "errors"

func mlockall() error { return errors.ErrUnsupported }
