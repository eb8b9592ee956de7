package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bowline/internal/transport"

	"github.com/anishathalye/porcupine"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// plan is what a seed decides beforehand.
type plan struct {
	members, clients, watchers, keys int
	span                             time.Duration // of the time in which things go wrong
	peace                            time.Duration // between two of them, at most
	think                            time.Duration // of a client between two requests, at most
	valueBytes                       int
	preVote, strict                  bool
	segmentBytes                     int64
	tailBytes, queueBytes            int
	messageBytes                     uint64
	feedBytes                        int64
	favour                           string // what goes wrong most often; "" is nothing in particular
}

func drawPlan(rng *rand.Rand) plan {
	p := plan{
		members: 3, clients: 2 + rng.IntN(3), watchers: 3, keys: 2 + rng.IntN(5),
		span: 15*time.Second + time.Duration(rng.Int64N(int64(30*time.Second))), peace: time.Duration(500+rng.IntN(4000)) * time.Millisecond,
		think: time.Duration(20+rng.IntN(200)) * time.Millisecond, valueBytes: 1 + rng.IntN(4000), preVote: rng.IntN(3) > 0, strict: rng.IntN(3) == 0,
		segmentBytes: 2000 + rng.Int64N(30_000), tailBytes: 1 + rng.IntN(10_000), queueBytes: 200 + rng.IntN(20_000),
		messageBytes: 1000 + rng.Uint64N(100_000), feedBytes: 500 + rng.Int64N(20_000),
	}
	if rng.IntN(5) == 0 {
		p.members = 5
	}
	return p
}

// sums are what a number of runs came to: whether they tried what they should.
type sums struct {
	seeds, answers, installs, changes, terms, crashes, compactions, virtual, unsettled atomic.Int64
}

func (s *sums) add(r *result) {
	s.seeds.Add(1)
	s.answers.Add(int64(r.answers))
	s.installs.Add(r.installs)
	s.virtual.Add(int64(r.virtual))
	s.changes.Add(int64(r.count("changed: ")))
	s.terms.Add(int64(r.count(" leads in term ")))
	s.crashes.Add(int64(r.count(": life ")))
	s.compactions.Add(int64(r.count("compacted at ")))
	if !r.complete {
		s.unsettled.Add(1)
	}
}

func (s *sums) String() string {
	return fmt.Sprintf("%d seeds, %v of virtual time: %d answers, %d lives of members, %d leaders, %d changes of members, "+
		"%d states installed, %d compactions; watchers not judged in %d", s.seeds.Load(), time.Duration(s.virtual.Load()).Round(time.Second),
		s.answers.Load(), s.crashes.Load(), s.terms.Load(), s.changes.Load(), s.installs.Load(), s.compactions.Load(), s.unsettled.Load())
}

// result is what came of a run.
type result struct {
	violations []string
	trace      []string
	complete   bool // the history of revisions has no gap
	history    []porcupine.Operation
	answers    int
	installs   int64
	virtual    time.Duration
}

// count is how many steps contain a text.
func (r *result) count(text string) (n int) {
	for _, line := range r.trace {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// last are the last n steps.
func (r *result) last(n int) string {
	return strings.Join(r.trace[max(0, len(r.trace)-n):], "\n")
}

// patience is how long, in real time, a run may take: time that stands still, because somebody waits for a mutex while
// its holder waits for time, would otherwise never be found.
const patience = 5 * time.Minute

// simulate runs a seed.
func simulate(t *testing.T, seed uint64, b bug) (r result) {
	watchdog := time.AfterFunc(patience, func() {
		stacks := make([]byte, 4<<20)
		panic(fmt.Sprintf("seed %d does not end\n%s", seed, stacks[:runtime.Stack(stacks, true)]))
	})
	defer watchdog.Stop()
	synctest.Test(t, func(*testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w := &world{
			seed: seed, bug: b, witness: newWitness(cancel), net: transport.NewNetwork(time.Now), running: ctx,
			poked: make(chan struct{}, 1), members: map[uint64]*member{}, cut: map[[2]uint64]bool{}, moving: map[uint64]bool{},
		}
		w.plan = drawPlan(w.stream("plan", 0))
		if b.adjust != nil {
			b.adjust(&w.plan)
		}
		level := zapcore.ErrorLevel
		if os.Getenv("BOWLINE_SIM_LOG") != "" {
			level = zapcore.DebugLevel
		}
		w.logger = zap.New(notes{LevelEnabler: level, w: w})
		w.weather = &weather{rng: w.stream("weather", 0)}
		w.setWeather(0, 0, 0, 0)
		w.note("seed %d: %+v", seed, w.plan)
		w.begin()
		rec := new(record)
		w.play(ctx, rec)
		cancel()
		w.tasks.Wait()
		r = result{violations: w.witness.found(), trace: w.witness.steps(), complete: w.complete.Load(), history: rec.settled(w.witness.wrote()), answers: rec.told,
			installs: w.installs.Load(), virtual: time.Since(w.witness.began)}
	})
	if len(r.violations) == 0 {
		switch porcupine.CheckOperationsTimeout(register(), r.history, 20*time.Second) {
		case porcupine.Illegal:
			r.violations = append(r.violations, "the history is not linearizable:\n"+describe(r.history))
		case porcupine.Unknown:
			r.violations = append(r.violations, "the history is too long to be judged")
		}
	}
	return r
}

// describe prints, of each key whose history cannot be explained, where the longest explanation ends and what is left.
func describe(history []porcupine.Operation) string {
	var b strings.Builder
	for _, part := range register().Partition(history) {
		res, info := porcupine.CheckOperationsVerbose(register(), part, 5*time.Second)
		if res != porcupine.Illegal {
			continue
		}
		var best []porcupine.Operation
		for _, some := range info.PartialLinearizationsOperations()[0] {
			if len(some) > len(best) {
				best = some
			}
		}
		explained := map[int64]bool{}
		for i, o := range best {
			explained[o.Call] = true
			if i >= len(best)-8 {
				fmt.Fprintf(&b, "  explained: client %d, %d to %d: %v: %v\n", o.ClientId, o.Call, o.Return, o.Input, o.Output)
			}
		}
		left := 0
		for _, o := range part {
			if !explained[o.Call] && left < 8 {
				left++
				fmt.Fprintf(&b, "  not:       client %d, %d to %d: %v: %v\n", o.ClientId, o.Call, o.Return, o.Input, o.Output)
			}
		}
	}
	return b.String()
}

// replay tells how a seed is run again.
func replay(seed uint64) string {
	return fmt.Sprintf("replay with: BOWLINE_SEED=%d go test ./internal/sim -run TestSeeds -v", seed)
}

// TestSeeds runs BOWLINE_SEEDS seeds from BOWLINE_FROM on, or BOWLINE_SEED alone.
func TestSeeds(t *testing.T) {
	first, count := uint64(1), uint64(defaultSeeds)
	if testing.Short() {
		count = defaultSeeds / 10
	}
	if s := number(t, "BOWLINE_SEED"); s > 0 {
		first, count = s, 1
	} else {
		first = max(1, number(t, "BOWLINE_FROM"))
		if n := number(t, "BOWLINE_SEEDS"); n > 0 {
			count = n
		}
	}
	var total sums
	t.Cleanup(func() { t.Log(total.String()) })
	workers := uint64(runtime.GOMAXPROCS(0))
	for k := range workers {
		t.Run(fmt.Sprint("worker ", k), func(t *testing.T) {
			t.Parallel()
			for seed := first + k; seed < first+count; seed += workers {
				r := simulate(t, seed, bug{})
				total.add(&r)
				if len(r.violations) > 0 {
					t.Errorf("seed %d: %s\nlast steps:\n%s\n%s", seed, strings.Join(r.violations, "\n"), r.last(60), replay(seed))
				}
				if count == 1 {
					t.Logf("seed %d: %d answers, %d operations judged, %d states installed in %v\n%s", seed, r.answers, len(r.history), r.installs, r.virtual, r.last(len(r.trace)))
				}
			}
		})
	}
}

// defaultSeeds is how many a plain go test runs.
const defaultSeeds = 250

func number(t *testing.T, variable string) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q is not a number", variable, text)
	}
	return n
}
