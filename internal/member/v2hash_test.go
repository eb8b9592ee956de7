package member

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/engine"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestDamagedTreeIsFound: a member whose tree of API v2 has come to differ on its disk
// gets the alarm, while clients write, and is refused with the check at the start.
func TestDamagedTreeIsFound(t *testing.T) {
	g := found(t, "a", "b", "c")
	put := func(i int) {
		t.Helper()
		_, err := g.members[g.leader()].server.V2(t.Context(), wire.V2Request{
			Method: wire.V2Put, Path: fmt.Sprintf("/1/k%d", i%20), Value: fmt.Sprint(i), Time: time.Now().UnixNano(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	alarms := func() []*pb.AlarmMember {
		t.Helper()
		if err := g.members[g.leader()].server.CompareNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		return g.members[g.leader()].fsm.Alarms()
	}
	g.eventually("all say what they are", func() error {
		for _, m := range g.members[g.leader()].fsm.Members().Members() {
			if !m.Ours {
				return errors.New(m.Name + " has not")
			}
		}
		return nil
	})
	for i := range 100 {
		put(i)
		if i%10 == 0 && len(alarms()) > 0 {
			t.Fatal("an alarm without a reason")
		}
	}
	victim := "a"
	if g.leader() == victim {
		victim = "b"
	}
	id := g.members[victim].ID()
	g.stop(victim)
	e, err := engine.Open(filepath.Join(g.configs[victim].DataDir, engine.MemberDir, engine.DirName), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := engine.Key(engine.ClassV2, []byte("n\x00\x011\x00\x01k3"))
	was, err := e.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	b := e.NewBatch()
	if err := errors.Join(b.Set(key, append(was, '!'), nil), e.Commit(b), e.Flush(), e.Close()); err != nil {
		t.Fatal(err)
	}
	cfg := g.configs[victim]
	cfg.InitialCorruptCheck = true
	if m, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "found data inconsistency with peers") {
		t.Errorf("the check at the start: %v", err)
		if err == nil {
			g.members[victim] = m
		}
	}
	g.start(victim)
	g.eventually("the alarm is raised", func() error {
		put(5)
		for _, a := range alarms() {
			if a.MemberID == id && a.Alarm == pb.AlarmType_CORRUPT {
				return nil
			}
		}
		return fmt.Errorf("alarms: %v", alarms())
	})
}
