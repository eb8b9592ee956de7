package engine

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"
)

// failure is the end of an engine that cannot write any more. What Pebble does
// then is no use to a member: it tries a failed flush again at once and for ever,
// and ends the process over a failed write of its manifest.
type failure struct {
	once     sync.Once
	happened chan struct{}
	err      error // valid once happened is closed
}

// fail ends the engine: whoever writes, or waits for a write, is given err.
func (e *Engine) fail(err error, tell func(error)) {
	e.failure.once.Do(func() {
		e.failure.err = err
		close(e.failure.happened)
		if tell != nil {
			tell(err)
		}
	})
}

// failed is the reason why nothing can be written any more, or nil.
func (e *Engine) failed() error {
	select {
	case <-e.failure.happened:
		return e.failure.err
	default:
		return nil
	}
}

// Flush writes all committed batches to disk and waits for it.
func (e *Engine) Flush() error {
	if err := e.failed(); err != nil {
		return err
	}
	h := e.acquire()
	defer h.release()
	done, err := h.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("engine: flush: %w", err)
	}
	select {
	case <-done:
		return nil
	case <-e.failure.happened:
		return e.failure.err
	}
}

// Close flushes what is committed and closes the engine, replaced stores included.
// No iterator or batch may be open.
func (e *Engine) Close() error {
	e.retiring.Wait()
	if !e.options.ReadOnly {
		if err := e.Flush(); err != nil {
			return e.abandon(err)
		}
	}
	err := e.current.Load().db.Close()
	e.cache.Unref()
	if err != nil {
		return fmt.Errorf("engine: close: %w", err)
	}
	return nil
}

// abandonPatience is how long a failed engine may take to close.
const abandonPatience = 2 * time.Second

// abandon closes a failed engine as far as that goes: Pebble may wait for work
// that has ended without telling. What is not flushed is in the log.
func (e *Engine) abandon(why error) error {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		defer func() {
			// It panics over iterators that its own lost work has left open.
			if r := recover(); r != nil {
				why = fmt.Errorf("%w (closing: %v)", why, r)
			}
		}()
		if err := e.current.Load().db.Close(); err == nil {
			e.cache.Unref()
		}
	}()
	select {
	case <-closed:
		return why
	case <-time.After(abandonPatience):
		return fmt.Errorf("engine: close: gave up waiting after: %w", e.failure.err)
	}
}

// pebbleLogger hands Pebble's messages to zap. Pebble calls Fatalf when it
// cannot go on; the member must then stop, in order, and not by os.Exit.
type pebbleLogger struct {
	log    *zap.Logger
	handle *handle
	fatal  func(error)
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	if ce := l.log.Check(zap.DebugLevel, "engine"); ce != nil {
		ce.Write(zap.String("detail", fmt.Sprintf(format, args...)))
	}
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("engine", zap.String("detail", fmt.Sprintf(format, args...)))
}

func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("engine: "+format, args...)
	if l.fatal == nil {
		panic(err)
	}
	l.handle.fail(err, l.fatal)
	// Pebble does not expect Fatalf to return. Ending the goroutine gives back the
	// locks that it holds, so that readers are not in its way to the end.
	runtime.Goexit()
}
