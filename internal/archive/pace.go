package archive

import (
	"context"
	"io"
	"sync"
	"time"
)

// pace bounds how many bytes a second go out, for all that share it.
type pace struct {
	perSecond int64 // 0 is no bound

	mu sync.Mutex
	// free is from when on more may go out.
	free time.Time
}

// burst is how much goes out at once.
const burst = 64 << 10

// wait waits until n more bytes may go out.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.perSecond <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	p.mu.Lock()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.perSecond) * float64(time.Second)))
	until := p.free.Sub(now)
	p.mu.Unlock()
	t := time.NewTimer(until)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reader holds r back.
func (p *pace) reader(ctx context.Context, r io.Reader) io.Reader { return &pacedReader{ctx, r, p} }

type pacedReader struct {
	ctx  context.Context
	r    io.Reader
	pace *pace
}

func (r *pacedReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b[:min(len(b), burst)])
	if n > 0 {
		if err := r.pace.wait(r.ctx, n); err != nil {
			return 0, err
		}
	}
	return n, err
}
