package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Target is the moment that is wanted; the zero Target is the newest.
type Target struct {
	// Revision, if it is not 0, is that of the state.
	Revision int64
	// Time, if it is not zero, is the time: what the member had applied when it last looked
	// at or before it.
	Time time.Time
}

// plan is the way to a moment: a checkpoint, and the log behind it.
type plan struct {
	checkpoint piece
	logs       []piece
	target     Target
	missing    uint64 // the first entry that no piece holds
}

// ErrNotArchived is in errors about a moment that an archive does not hold.
var ErrNotArchived = errors.New("this moment is not in the archive")

// makePlan finds the way that needs the least log.
func makePlan(ctx context.Context, s Store, t Target) (id Identity, p plan, err error) {
	id, err = readIdentity(ctx, s)
	if errors.Is(err, os.ErrNotExist) {
		return id, p, fmt.Errorf("%s holds no archive: %s is missing", s, identityName)
	}
	if err != nil {
		return id, p, err
	}
	names, err := s.List(ctx)
	if err != nil {
		return id, p, err
	}
	p, err = parseNames(names).plan(t)
	if err != nil {
		err = fmt.Errorf("%s: %w", s, err)
	}
	return id, p, err
}

func (c contents) plan(t Target) (plan, error) {
	if len(c.checkpoints) == 0 {
		return plan{}, fmt.Errorf("%w: there is no checkpoint", ErrNotArchived)
	}
	best := -1
	for i, p := range c.checkpoints {
		if (t.Revision == 0 || p.moment.Revision <= t.Revision) && (t.Time.IsZero() || !p.moment.Time.After(t.Time)) {
			best = i
		}
	}
	if best < 0 {
		return plan{}, fmt.Errorf("%w: the oldest in it is %s", ErrNotArchived, c.checkpoints[0].moment)
	}
	p := plan{checkpoint: c.checkpoints[best], target: t}
	p.logs, p.missing = c.following(p.checkpoint.last)
	end := p.checkpoint.moment
	for i, l := range p.logs {
		end = l.moment
		if t.Revision != 0 && end.Revision >= t.Revision || !t.Time.IsZero() && end.Time.After(t.Time) {
			p.logs = p.logs[:i+1]
			return p, nil
		}
	}
	if t == (Target{}) || t.Revision != 0 && end.Revision == t.Revision || !t.Time.IsZero() && !end.Time.Before(t.Time) {
		return p, nil
	}
	return plan{}, fmt.Errorf("%w: from %s on it goes to %s", ErrNotArchived, p.checkpoint.name, c.gap(p.missing, end))
}

// gap tells what is missing.
func (c *contents) gap(missing uint64, end Moment) string {
	for _, l := range c.logs {
		if l.first > missing {
			return fmt.Sprintf("%s; the piece of the log with entry %d is missing, the next is %s", end, missing, l.name)
		}
	}
	for _, p := range c.checkpoints {
		if p.last >= missing {
			return fmt.Sprintf("%s; the piece of the log with entry %d is missing, the next is %s", end, missing, p.name)
		}
	}
	return fmt.Sprintf("%s, its end", end)
}
