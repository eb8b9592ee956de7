package archive

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Moment is what is known of a state: the last entry in it, its revision, and a time
// at which the member was there.
type Moment struct {
	Index    uint64    `json:"index"`
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
}

func (m Moment) String() string {
	return fmt.Sprintf("revision %d at %s (entry %d)", m.Revision, m.Time.Format(time.RFC3339Nano), m.Index)
}

// header is what a piece says of itself.
type header struct {
	ClusterID uint64 `json:"clusterID"`
	// First and Last are the entries in it, Term that of the last. A checkpoint has no
	// First.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last"`
	Term  uint64 `json:"term"`
	// Moments within it, in order. The last one names it.
	Moments []Moment `json:"moments"`
}

const timeLayout = "20060102T150405.000000000Z"

// name is that of the piece in the archive. Names sort by the last entry.
func (h *header) name() string {
	if len(h.Moments) == 0 {
		return "without a moment"
	}
	m := h.Moments[len(h.Moments)-1]
	at := m.Time.UTC().Format(timeLayout)
	if h.First == 0 {
		return fmt.Sprintf("checkpoint-%020d-r%d-%s", h.Last, m.Revision, at)
	}
	return fmt.Sprintf("log-%020d-%020d-r%d-r%d-%s", h.First, h.Last, h.Moments[0].Revision, m.Revision, at)
}

// piece is what a name tells.
type piece struct {
	name        string
	first, last uint64 // first is 0 for a checkpoint
	moment      Moment // the last one
}

// parseName reads a name; ok is false for what is no piece.
func parseName(name string) (p piece, ok bool) {
	m := regexp.MustCompile(`^(?:checkpoint-|log-(\d{20})-)(\d{20})-(?:r\d+-)?r(\d+)-(\d{8}T\d{6}\.\d{9}Z)$`).FindStringSubmatch(name)
	if m == nil {
		return p, false
	}
	var errs [4]error
	if m[1] != "" {
		p.first, errs[0] = strconv.ParseUint(m[1], 10, 64)
	}
	p.last, errs[1] = strconv.ParseUint(m[2], 10, 64)
	p.moment.Revision, errs[2] = strconv.ParseInt(m[3], 10, 64)
	p.moment.Time, errs[3] = time.Parse(timeLayout, m[4])
	p.name, p.moment.Index = name, p.last
	for _, err := range errs {
		if err != nil {
			return p, false
		}
	}
	return p, m[1] == "" || p.first > 0 && p.first <= p.last
}

// contents are the pieces of an archive, both kinds in the order of entries.
type contents struct {
	checkpoints, logs []piece
}

func parseNames(names []string) (c contents) {
	for _, name := range names {
		p, ok := parseName(name)
		switch {
		case !ok:
		case p.first == 0:
			c.checkpoints = append(c.checkpoints, p)
		default:
			c.logs = append(c.logs, p)
		}
	}
	for _, pieces := range [][]piece{c.checkpoints, c.logs} {
		slices.SortFunc(pieces, func(a, b piece) int {
			return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.first, b.first), cmp.Compare(a.name, b.name))
		})
	}
	return c
}

// following are the pieces of the log that go on, without a gap, where the state at
// index ends. missing is the first entry that none of them holds.
func (c *contents) following(index uint64) (chain []piece, missing uint64) {
	missing = index + 1
	for {
		best := -1
		for i, p := range c.logs {
			if p.first <= missing && p.last >= missing && (best < 0 || p.last > c.logs[best].last) {
				best = i
			}
		}
		if best < 0 {
			return chain, missing
		}
		chain = append(chain, c.logs[best])
		missing = c.logs[best].last + 1
	}
}
