package transport

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// zeros is an endless body that counts what was read of it.
type zeros struct{ n int64 }

func (z *zeros) Read(b []byte) (int, error) {
	clear(b)
	z.n += int64(len(b))
	return len(b), nil
}

func TestBodiesTogetherAreBounded(t *testing.T) {
	var b bodies
	for _, n := range []int{0, 1, bytes.MinRead - 1, bytes.MinRead, 100_000} {
		want := bytes.Repeat([]byte("ab"), n)
		got, release, err := b.read(bytes.NewReader(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d, %v", len(want), len(got), err)
		}
		if held := b.held.Load(); held < int64(cap(got)) {
			t.Errorf("%d bytes are counted, %d are held", held, cap(got))
		}
		release()
	}
	endless := new(zeros)
	_, first, err := b.read(endless)
	if !errors.Is(err, errBodies) || endless.n > MaxPostBytes {
		t.Errorf("%d bytes of an endless body: %v", endless.n, err)
	}
	if _, second, err := b.read(io.LimitReader(endless, 1)); !errors.Is(err, errBodies) {
		t.Errorf("another beside it: %v", err)
	} else {
		second()
	}
	first()
	_, release, err := b.read(io.LimitReader(endless, 1))
	release()
	if err != nil || b.held.Load() != 0 {
		t.Errorf("when they are gone: %v, %d bytes are counted", err, b.held.Load())
	}
}
