package transport

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
)

// TestFiguresOutliveTheirPeer: what was counted of a removed member stays, of the last 64.
func TestFiguresOutliveTheirPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := New(Config{ID: 1, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: newFakeRaft(),
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Stop()
		const first, last = 2, 2 + maxFormer
		for id := uint64(first); id <= last; id++ {
			mustAdd(t, tr.AddPeer(id, []string{"http://x:2380"}))
			p := tr.peer(id)
			p.figures.sentBytes.Store(10 * id)
			p.activity.succeeded()
			tr.RemovePeer(id)
		}
		mustAdd(t, tr.AddRemote(1000, []string{"http://x:2380"}))
		tr.RemovePeer(1000)
		all := tr.Peers()
		if len(all) != maxFormer || all[0].ID != first+1 || all[maxFormer-1].ID != last {
			t.Fatalf("%d are told of: %+v", len(all), all)
		}
		for _, s := range all {
			if s.SentBytes != 10*s.ID || s.Disconnects != 1 || !s.ActiveSince.IsZero() {
				t.Errorf("%+v", s)
			}
		}
		mustAdd(t, tr.AddPeer(last, []string{"http://x:2380"}))
		if all = tr.Peers(); len(all) != maxFormer || all[maxFormer-1].SentBytes != 0 {
			t.Errorf("one that is there again is told of by its new figures: %+v", all)
		}
	})
}
