package node

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"bowline/internal/wal"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// loop is the raft goroutine's own state: nothing else touches it after Start.
type loop struct {
	node  *Node
	raft  *raft.RawNode
	store *storage

	hard wal.HardState  // the newest that raft has produced
	soft raft.SoftState // likewise

	conf         *raftpb.ConfState
	singleVoter  bool   // this member is the only voter, learners aside
	alone        bool   // there is nobody else at all
	wantCampaign bool   // a single voter need not wait for an election timeout at start
	restored     uint64 // index of the last state that raft took from another member
	writing      int    // batches with entries that the wal goroutine has not finished

	waiting   []*readWaiter // for the next round
	round     *readRound
	nextRound uint64

	held     []heldProposal // of others, while leadership moves
	outgoing []*raftpb.Message
	lastTick time.Time
	disk     diskWatch
}

// run is the raft goroutine. Each turn takes what has come, steps it, and then carries out what raft makes of it.
func (l *loop) run() {
	defer close(l.node.loopDone)
	defer l.end()
	ticker := time.NewTicker(l.node.cfg.TickInterval)
	defer ticker.Stop()
	var (
		inbox     = &l.node.inbox
		events    []event
		reads     []*readWaiter
		proposals []proposal
	)
	l.campaign()
	for {
		l.handleReady()
		inbox.sleep(l.holdProposals(), l.wantCampaign && l.singleVoter)
		select {
		case <-l.node.stopping:
			return
		case <-ticker.C:
			l.tick()
		case <-inbox.wake:
			l.gather()
		}
		events, reads = inbox.take(events, reads)
		for i := range events {
			l.handle(&events[i])
		}
		proposals = inbox.takeProposals(proposals, l.holdProposals())
		l.propose(proposals)
		if len(reads) > 0 {
			l.addReaders(reads)
		}
	}
}

// gather lets those who can run now come first, for they may have more for this turn: each turn of a member that has
// others costs messages to all of them, and their answers. Alone, proposals wait for the disk together anyway.
func (l *loop) gather() {
	if !l.alone {
		runtime.Gosched()
	}
}

// holdProposals: see the package comment.
func (l *loop) holdProposals() bool { return l.singleVoter && l.alone && l.writing > 0 }

// end answers whoever still waits.
func (l *loop) end() {
	l.node.readIndex.Store(0)
	proposals, reads := l.node.inbox.close()
	for i := range proposals {
		proposals[i].answer(ErrStopped)
	}
	l.answerReaders(reads, 0)
	l.answerReaders(l.waiting, 0)
	if l.round != nil {
		l.answerReaders(l.round.readers, 0)
	}
}

func (l *loop) tick() {
	l.raft.Tick()
	now := time.Now()
	l.noteTick(now)
	l.retryHeld(1)
	l.checkDisk(now)
	l.store.tick()
	if l.round != nil || len(l.waiting) > 0 {
		l.askReadIndex(time.Now().Add(-readRetry))
	}
	l.publishPeers()
}

// noteTick counts the heartbeats that this member, as leader, sends too late: it could
// not run in time.
func (l *loop) noteTick(now time.Time) {
	cfg := &l.node.cfg
	expected := 2 * cfg.TickInterval * time.Duration(cfg.HeartbeatTicks)
	late := now.Sub(l.lastTick) - expected
	if !l.lastTick.IsZero() && late > 0 && l.soft.RaftState == raft.StateLeader && !l.alone {
		l.node.lateHeartbeats.Add(1)
		cfg.Logger.Warn("leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk",
			zap.Duration("heartbeat-interval", cfg.TickInterval), zap.Duration("expected-duration", expected), zap.Duration("exceeded-duration", late))
	}
	l.lastTick = now
}

// handle steps one event.
func (l *loop) handle(e *event) {
	l.writing -= e.written
	for _, m := range e.messages {
		if m.GetType() == raftpb.MsgStorageApplyResp {
			ents := m.GetEntries()
			l.step(m)
			l.store.applied(ents[len(ents)-1].GetIndex(), l.alone)
			l.campaign()
			continue
		}
		if m.GetType() == raftpb.MsgReadIndex && l.singleVoter && !l.committedInTerm() {
			continue // a learner's: see askReadIndex; it will ask again
		}
		l.step(m)
	}
	if e.control != nil {
		e.control(l)
	}
}

func (l *loop) step(m *raftpb.Message) {
	changes := confChanges(m)
	err := l.raft.Step(m)
	switch {
	case err == nil && changes != nil:
		l.holdDisplaced(m, changes)
	case errors.Is(err, raft.ErrProposalDropped):
		l.hold(m)
	case err == nil, errors.Is(err, raft.ErrStepPeerNotFound):
		// A message of a member that is gone: lost, as on a network.
	default:
		l.node.cfg.Logger.Sugar().Debugf("raft refused %s: %v", m.GetType(), err)
	}
}

// campaign makes a single voter lead at once, or as soon as it has applied the conf changes in its log.
func (l *loop) campaign() {
	if !l.wantCampaign || !l.singleVoter || l.store.appliedIndex < l.store.committedAtStart {
		return
	}
	l.wantCampaign = false
	if err := l.raft.Campaign(); err != nil {
		l.node.cfg.Logger.Sugar().Warnf("raft refused to campaign: %v", err)
	}
}

func (l *loop) setConf(conf *raftpb.ConfState) {
	id := l.node.cfg.ID
	l.conf = conf
	l.singleVoter = len(conf.Voters) == 1 && conf.Voters[0] == id && len(conf.VotersOutgoing) == 0
	l.alone = l.singleVoter && len(conf.Learners) == 0 && len(conf.LearnersNext) == 0
}

// applyConfChange runs between the commit of a conf change and the reply that it is applied.
//
// An entry that was handed over before raft took a newer state is still applied, or passed over, while that state is on
// its way to the disk. raft has that state's configuration already and must not go back to a mixture.
func (l *loop) applyConfChange(index uint64, cc raftpb.ConfChangeI) *raftpb.ConfState {
	if index <= l.restored {
		return l.conf
	}
	l.setConf(l.raft.ApplyConfChange(cc))
	l.publish() // before anything is sent to, or about, the new configuration
	l.campaign()
	return l.conf
}

// handleReady carries out what raft wants done, until it wants nothing.
func (l *loop) handleReady() {
	for l.raft.HasReady() {
		rd := l.raft.Ready()
		if !raft.IsEmptyHardState(rd.HardState) {
			l.hard = wal.HardState{Term: rd.GetTerm(), Vote: rd.GetVote(), Commit: rd.GetCommit()}
		}
		if rd.SoftState != nil {
			l.leadChanged(*rd.SoftState)
		}
		// What leaves this goroutine from here on may make a read index stale or a write acknowledged.
		l.publish()
		l.dispatch(rd.Messages)
		l.readStates(rd.ReadStates)
		if len(l.waiting) > 0 {
			l.askReadIndex(time.Time{})
		}
		if rd.SoftState != nil {
			l.retryHeld(0)
		}
	}
}

// leadChanged also asks a new leader what the old one may not have answered.
func (l *loop) leadChanged(now raft.SoftState) {
	before := l.soft
	l.soft = now
	l.tellLeader(before.Lead)
	if l.round != nil && now.Lead != raft.None && now.Lead != before.Lead {
		l.askReadIndex(time.Now())
	}
}

// tellLeader has a line for each change of the leader, as raft's own Node has, which is not used here.
func (l *loop) tellLeader(before uint64) {
	log, id, term := l.node.cfg.Logger, l.node.cfg.ID, l.hard.Term
	switch now := l.soft.Lead; {
	case now == before:
	case now == raft.None:
		log.Info(fmt.Sprintf("raft.node: %x lost leader %x at term %d", id, before, term))
	case before == raft.None:
		log.Info(fmt.Sprintf("raft.node: %x elected leader %x at term %d", id, now, term))
	default:
		log.Info(fmt.Sprintf("raft.node: %x changed leader from %x to %x at term %d", id, before, now, term))
	}
}

// dispatch hands raft's messages to those they are for. Entries are in the storage's memory from here on, which is
// ahead of the disk: raft reads them there only when the wal goroutine has replied, or never, if they are replaced.
func (l *loop) dispatch(messages []*raftpb.Message) {
	for _, m := range messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			if !raft.IsEmptySnap(m.GetSnapshot()) {
				// gofail: var raftBeforeApplySnap struct{}
				l.restart(m.GetSnapshot().GetMetadata())
				// gofail: var raftAfterApplySnap struct{}
			}
			l.store.append(m.GetEntries())
			if len(m.GetEntries()) > 0 {
				l.writing++
			}
			l.node.walQueue.put(walWork{message: m})
		case raft.LocalApplyThread:
			l.node.applyQueue.put(m)
		default:
			l.outgoing = append(l.outgoing, m)
		}
	}
	if len(l.outgoing) > 0 {
		if l.soft.RaftState == raft.StateLeader {
			// gofail: var raftBeforeLeaderSend struct{}
		}
		l.node.cfg.Send(slices.Clone(l.outgoing))
		clear(l.outgoing)
		l.outgoing = l.outgoing[:0]
	}
}

// committedInTerm reports whether an entry of the current term is committed, which proves that all that was
// committed in earlier ones is. Asked on a leader, l.hard has the leader's term: its vote for itself went through a Ready.
func (l *loop) committedInTerm() bool {
	term, err := l.store.Term(l.hard.Commit)
	return err == nil && term == l.hard.Term
}
