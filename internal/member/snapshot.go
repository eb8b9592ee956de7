package member

import (
	"context"
	"errors"
	"io"
)

// Snapshot is the file that the Snapshot call streams.
func (m *Member) Snapshot(context.Context) (io.ReadCloser, int64, string, error) {
	return nil, 0, "", errors.New("snapshot: under construction")
}
