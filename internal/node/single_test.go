package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// TestSingleVoterKeepsWhatItAcknowledged crashes a member again and again while it is written to, with an engine that
// lags behind by any number of entries.
func TestSingleVoterKeepsWhatItAcknowledged(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { crashSingleVoter(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func crashSingleVoter(t *testing.T, rng *rand.Rand) {
	c := newCluster(t)
	c.startVoters(1)
	var mu sync.Mutex // guards acknowledged
	acknowledged := map[string]bool{}
	for life := range 6 {
		mb := c.members[1]
		waitFor(t, mb.node, func(Status) bool { return mb.node.readIndex.Load() != 0 })
		enough := make(chan struct{})
		left := 1 + rng.IntN(60)
		var writers sync.WaitGroup
		for w := range 8 {
			writers.Go(func() {
				for i := 0; ; i++ {
					data := fmt.Sprintf("life %d writer %d number %d", life, w, i)
					if err := mb.write(data); err != nil {
						return
					}
					mu.Lock()
					acknowledged[data] = true
					if left--; left == 0 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		mu.Lock()
		before := make([]string, 0, len(acknowledged))
		for data := range acknowledged {
			before = append(before, data)
		}
		engine := mb.machine.log()
		mu.Unlock()
		disk := mb.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		c.stop(1)
		writers.Wait()

		restarted := newMachine()
		restarted.conf = &raftpb.ConfState{Voters: []uint64{1}}
		restarted.entries = engine[:rng.IntN(len(engine)+1)]
		mb = c.start(1, disk, restarted)
		// At once: the commit index on disk is too old, so nothing may be answered before an entry of the new term is in.
		index, err := mb.node.ReadIndex(context.Background())
		must(t, err)
		restarted.waitApplied(t, index)
		have := map[string]bool{}
		for _, data := range restarted.payloads() {
			if have[data] {
				t.Fatalf("%q was applied twice", data)
			}
			have[data] = true
		}
		for _, data := range before {
			if !have[data] {
				t.Fatalf("life %d: %q was acknowledged and is gone", life, data)
			}
		}
		mu.Lock()
		acknowledged = have
		mu.Unlock()
	}
	c.stopAll()
}

func TestAFailedLogStopsTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the disk is broken")
		var mu sync.Mutex
		fail := false
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if fail && op.Kind == errorfs.OpFileSyncData {
				return broken
			}
			return nil
		}))
		log, err := wal.Create(wal.Options{FS: fs, Dir: "wal"}, wal.Metadata{NodeID: 1})
		must(t, err)
		m, fatal := newMachine(), make(chan error, 2)
		n, err := Start(Config{
			ID: 1, Log: log, Recovered: wal.Recovered{FirstIndex: 1, Terms: []wal.TermRun{{}}}, Apply: m,
			ConfState: &raftpb.ConfState{Voters: []uint64{1}}, OnFatal: func(err error) { fatal <- err },
		})
		must(t, err)
		mb := &member{node: n, machine: m}
		waitFor(t, n, func(s Status) bool { return s.State == raft.StateLeader })
		must(t, mb.write("before"))
		mu.Lock()
		fail = true
		mu.Unlock()
		if err := mb.write("after"); !errors.Is(err, ErrStopped) {
			t.Errorf("write to a broken disk: %v", err)
		}
		if err := <-fatal; !errors.Is(err, broken) {
			t.Errorf("told %v", err)
		}
		<-n.loopDone
		if err := mb.write("later"); !errors.Is(err, ErrStopped) {
			t.Errorf("write after the failure: %v", err)
		}
		if _, err := n.ReadIndex(context.Background()); !errors.Is(err, ErrStopped) {
			t.Errorf("read after the failure: %v", err)
		}
		n.Stop()
		if len(fatal) != 0 {
			t.Errorf("told twice: %v", <-fatal)
		}
		if got := m.payloads(); len(got) != 1 || got[0] != "before" {
			t.Errorf("applied %q", got)
		}
		must(t, log.Close())
	})
}

func TestAFailedApplierStopsTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		m := newMachine()
		m.conf = &raftpb.ConfState{Voters: []uint64{1}}
		m.fail = errors.New("cannot apply")
		mb := c.start(1, vfs.NewCrashableMem(), m)
		if err := <-mb.fatal; !errors.Is(err, m.fail) {
			t.Errorf("told %v", err)
		}
		c.stopAll()
	})
}

func TestStartRefusesALogThatDoesNotFit(t *testing.T) {
	log, err := wal.Create(wal.Options{FS: vfs.NewMem(), Dir: "wal"}, wal.Metadata{})
	must(t, err)
	defer log.Close()
	for name, change := range map[string]func(*Config){
		"no ID":            func(c *Config) { c.ID = 0 },
		"no applier":       func(c *Config) { c.Apply = nil },
		"applied too high": func(c *Config) { c.Applied = 7 },
		"log starts late":  func(c *Config) { c.Recovered.FirstIndex, c.Recovered.LastIndex = 5, 5 },
		"commit too high":  func(c *Config) { c.Recovered.HardState.Commit = 3 },
		"entries not read": func(c *Config) { c.Recovered.LastIndex = 2 },
		"no term to go on from": func(c *Config) {
			c.Applied = 4
			c.Recovered = wal.Recovered{FirstIndex: 5, LastIndex: 5, Entries: []*raftpb.Entry{{Index: new(uint64(5)), Term: new(uint64(1))}},
				Terms: []wal.TermRun{{First: 5, Term: 1}}}
		},
		"election too early": func(c *Config) { c.ElectionTicks, c.HeartbeatTicks = 3, 3 },
	} {
		cfg := Config{
			ID: 1, Log: log, Recovered: wal.Recovered{FirstIndex: 1, Terms: []wal.TermRun{{}}},
			Apply: newMachine(), ConfState: &raftpb.ConfState{Voters: []uint64{1}},
		}
		change(&cfg)
		if n, err := Start(cfg); err == nil {
			n.Stop()
			t.Errorf("%s: started", name)
		}
	}
}

// TestReplayedConfChangesMakeTheFirstVoter starts as a new cluster does: the configuration is in the log, not applied.
func TestReplayedConfChangesMakeTheFirstVoter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		mb := c.bootstrap(1)
		waitFor(t, mb.node, func(Status) bool { return mb.node.readIndex.Load() != 0 })
		must(t, mb.write("hello"))
		if voters := mb.machine.conf.Voters; len(voters) != 1 || voters[0] != 1 {
			t.Errorf("voters are %v", voters)
		}
		c.stopAll()
	})
}

func TestReleasedLogIsSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1)
		mb := c.leader()
		for i := range 50 {
			must(t, mb.write(fmt.Sprint(i, " ", string(make([]byte, 10_000)))))
		}
		applied := mb.node.Applied()
		term := mb.node.Status().Term
		first, err := mb.node.ReleaseLog(context.Background(), wal.Snapshot{Index: applied, Term: term, ConfState: mb.machine.conf})
		must(t, err)
		if first < 30 {
			t.Errorf("the log begins at %d", first)
		}
		must(t, mb.write("and goes on"))
		old := c.stop(1)
		mb = c.start(1, old.fs, old.machine)
		waitFor(t, mb.node, func(Status) bool { return mb.node.readIndex.Load() != 0 })
		must(t, mb.write("again"))
		c.stopAll()
	})
}

func TestInboxLimits(t *testing.T) {
	var b inbox
	b.init()
	for i := range maxWaitingProposals {
		if err := b.propose(proposal{}); err != nil {
			t.Fatalf("proposal %d: %v", i, err)
		}
	}
	if err := b.propose(proposal{}); !errors.Is(err, ErrBusy) {
		t.Errorf("one proposal too many: %v", err)
	}
	b.takeProposals(nil, false)
	must(t, b.propose(proposal{data: make([]byte, maxWaitingBytes/2+1)}))
	if err := b.propose(proposal{data: make([]byte, maxWaitingBytes/2)}); !errors.Is(err, ErrBusy) {
		t.Errorf("too many bytes: %v", err)
	}
	batch := event{messages: make([]*raftpb.Message, maxWaitingMessages/2), received: true}
	if !b.post(batch) || !b.post(batch) || b.post(event{messages: batch.messages[:1], received: true}) {
		t.Error("the limit on received messages is not kept")
	}
	if !b.post(event{messages: batch.messages}) {
		t.Error("an own message was dropped")
	}
}

// TestNoReadBeforeAnEntryOfTheTerm stalls the disk just when a restarted voter leads, with a commit index on disk that is
// older than what it acknowledged in its former life.
func TestNoReadBeforeAnEntryOfTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1)
		must(t, c.leader().write("acknowledged"))
		old := c.stop(1)
		acknowledged := uint64(len(old.machine.log()))
		log, recovered, err := wal.Open(wal.Options{FS: old.fs.CrashClone(vfs.CrashCloneCfg{}), Dir: "wal"}, 0)
		must(t, err)
		if recovered.HardState.Commit >= acknowledged {
			t.Fatalf("commit %d is on disk: nothing to be tested", recovered.HardState.Commit)
		}
		must(t, log.Close())

		var syncs atomic.Int64
		stall := make(chan struct{})
		fs := errorfs.Wrap(old.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSyncData && syncs.Add(1) == 3 { // after Open's and the vote's
				<-stall
			}
			return nil
		}))
		log, recovered, err = wal.Open(wal.Options{FS: fs, Dir: "wal"}, 0)
		must(t, err)
		m := newMachine()
		n, err := Start(Config{
			ID: 1, Log: log, Recovered: recovered, Apply: m, PreVote: true, ConfState: &raftpb.ConfState{Voters: []uint64{1}},
		})
		must(t, err)
		read := make(chan uint64, 1)
		go func() {
			index, err := n.ReadIndex(context.Background())
			if err != nil {
				t.Error(err)
			}
			read <- index
		}()
		synctest.Wait()
		if s := n.Status(); s.State != raft.StateLeader || s.Commit >= acknowledged {
			t.Errorf("status %+v", s)
		}
		if index := n.readIndex.Load(); index != 0 || len(read) != 0 {
			t.Errorf("a read was answered before its time, at %d", index)
		}
		close(stall)
		if index := <-read; index < acknowledged {
			t.Errorf("read at %d, %d was acknowledged", index, acknowledged)
		}
		n.Stop()
		must(t, log.Close())
	})
}
