package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Config of a Log. Out is for tests; it is a file otherwise.
type Config struct {
	// Path names the file; a file that is there is continued. MaxMB is how long it may
	// become; a full one is put aside under a name with the time, and MaxFiles of those are
	// kept, 0 for all.
	Path            string
	MaxMB, MaxFiles int
	Member          string // whose log it is
	Logger          *zap.Logger
	Out             io.WriteCloser
	// Buffer is how many lines may wait to be written, and Patience how long a call waits
	// for room; 0 is the default.
	Buffer   int
	Patience time.Duration
}

const (
	defaultBuffer   = 4096
	defaultPatience = time.Second
)

// Log is an audit log. A nil one takes everything and writes nothing.
type Log struct {
	cfg     Config
	lines   chan []byte
	done    chan struct{}
	written atomic.Int64
	lost    atomic.Int64
	stalled atomic.Bool // a line was lost, and none has been taken since

	mu     sync.RWMutex // guards closed; held for reading while a line is handed over
	closed bool
	once   sync.Once
	err    error // of closing
}

// Open opens the log and writes its first line, which fails if nothing can be written.
func Open(cfg Config) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = defaultBuffer
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.Out == nil {
		f, err := openFile(cfg.Path, int64(cfg.MaxMB)<<20, cfg.MaxFiles)
		if err != nil {
			return nil, fmt.Errorf("audit log: %w", err)
		}
		cfg.Out = f
	}
	l := &Log{cfg: cfg, lines: make(chan []byte, cfg.Buffer), done: make(chan struct{})}
	if err := l.put(l.encode(&Record{Call: "audit log opened"})); err != nil {
		return nil, errors.Join(fmt.Errorf("audit log: %w", err), cfg.Out.Close())
	}
	go l.run()
	return l, nil
}

// On tells whether records are wanted.
func (l *Log) On() bool { return l != nil }

// Write takes a record, whose time and member it fills in.
func (l *Log) Write(r *Record) {
	line := l.encode(r)
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		l.lose("it is closed", nil)
		return
	}
	select {
	case l.lines <- line:
		l.stalled.Store(false)
		return
	default:
	}
	t := time.NewTimer(l.cfg.Patience)
	defer t.Stop()
	select {
	case l.lines <- line:
		l.stalled.Store(false)
	case <-t.C:
		l.lose("the disk is slow", nil)
	}
}

func (l *Log) lose(why string, err error) {
	l.lost.Add(1)
	if !l.stalled.Swap(true) {
		l.cfg.Logger.Error("records of the audit log are being lost", zap.String("path", l.cfg.Path), zap.String("reason", why), zap.Error(err))
	}
}

func (l *Log) encode(r *Record) []byte {
	r.Time, r.Member = time.Now().UTC(), l.cfg.Member
	line, err := json.Marshal(r)
	if err != nil { // it has no fields that can fail
		line = []byte(`{"call":"a record that cannot be encoded"}`)
	}
	return append(line, '\n')
}

// run writes what there is until Close.
func (l *Log) run() {
	defer close(l.done)
	var told int64
	for line := range l.lines {
		// The gap is told where it is: before what came after it.
		if lost := l.lost.Load(); lost > told {
			if l.put(l.encode(&Record{Call: "records were lost", Lost: lost - told})) == nil {
				told = lost
			}
		}
		if err := l.put(line); err != nil {
			l.lose("cannot write", err)
		}
	}
	if lost := l.lost.Load(); lost > told {
		l.err = l.put(l.encode(&Record{Call: "records were lost", Lost: lost - told}))
	}
}

func (l *Log) put(line []byte) error {
	if _, err := l.cfg.Out.Write(line); err != nil {
		return err
	}
	l.written.Add(1)
	return nil
}

// Counts are the lines that were written and the records that were lost.
func (l *Log) Counts() (written, lost int64) {
	if l == nil {
		return 0, 0
	}
	return l.written.Load(), l.lost.Load()
}

// Close writes what waits and closes the file.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.once.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		close(l.lines)
		<-l.done
		l.err = errors.Join(l.err, l.cfg.Out.Close())
	})
	return l.err
}
