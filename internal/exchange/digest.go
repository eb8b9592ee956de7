package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// hasDigest tells by its size whether a file ends with its SHA-256: a database is a
// number of whole sectors, and the digest takes 32 bytes.
func hasDigest(size int64) bool { return size%minPageBytes == sha256.Size }

// ErrNoDigest is returned for a file without a digest where one is wanted.
var ErrNoDigest = errors.New("snapshot missing hash but --skip-hash-check=false")

// checkDigest compares a snapshot file with the digest at its end.
func checkDigest(ctx context.Context, name string, progress func(Progress)) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if !hasDigest(size) {
		return ErrNoDigest
	}
	h := sha256.New()
	o := importOptions{progress: progress}
	body := ReaderUntil(ctx, io.LimitReader(f, size-sha256.Size))
	buf := make([]byte, 1<<20)
	for done := int64(0); ; {
		n, err := body.Read(buf)
		h.Write(buf[:n])
		done += int64(n)
		o.tell("verify", done, size-sha256.Size)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(f, want); err != nil {
		return err
	}
	if got := h.Sum(nil); !bytes.Equal(got, want) {
		return fmt.Errorf("expected sha256 %v, got %v: %s was changed or damaged after it was saved; use another backup, "+
			"or take what can be read with --skip-hash-check", want, got, name)
	}
	return nil
}
