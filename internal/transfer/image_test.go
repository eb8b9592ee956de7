package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// TestAnEtcdIsSentAnImage: who answers 404 gets raft's message behind its length, the
// members as the v2 store has them, and a database without a digest.
func TestAnEtcdIsSentAnImage(t *testing.T) {
	leader := newSide(t, leaderID, vfs.NewCrashableMem())
	leader.write(50, 100)
	leader.sender.cfg.Dirs.Dir = t.TempDir() // a database needs a real disk
	told := 0
	leader.sender.cfg.ImageSent = func(context.Context) { told++ }
	var got []byte
	mux := http.NewServeMux()
	mux.HandleFunc("POST /raft/snapshot", func(w http.ResponseWriter, r *http.Request) {
		var err error
		if got, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	must(t, leader.sender.Send(context.Background(), &link{id: followerID, handler: mux}, message(followerID)))
	if told != 1 {
		t.Errorf("the owner was told %d times", told)
	}
	n := binary.BigEndian.Uint64(got)
	m := new(raftpb.Message)
	must(t, proto.Unmarshal(got[8:8+n], m))
	at := m.GetSnapshot().GetMetadata()
	if m.GetType() != raftpb.MsgSnap || at.GetIndex() != 53 || at.GetTerm() != 1 || len(at.GetConfState().GetVoters()) != 3 {
		t.Errorf("the message is %v", m)
	}
	var tree struct {
		Root         treeNode
		CurrentIndex uint64
	}
	must(t, json.Unmarshal(m.GetSnapshot().GetData(), &tree))
	two := tree.Root.Children["0"].Children["members"].Children["2"]
	if len(tree.Root.Children["0"].Children["members"].Children) != 3 || two.Path != "/0/members/2" ||
		two.Children["raftAttributes"].Value != `{"peerURLs":["http://b"]}` || tree.CurrentIndex != 53 {
		t.Errorf("the tree is %s", m.GetSnapshot().GetData())
	}
	// Pages of 4096 bytes, the first of which is a meta page; a digest would add 32 bytes.
	image := got[8+n:]
	if len(image)%4096 != 0 || !bytes.Equal(image[16:20], []byte{0xed, 0xda, 0x0c, 0xed}) {
		t.Errorf("an image of %d bytes that begins %x", len(image), image[:32])
	}
	if left, err := os.ReadDir(leader.sender.cfg.Dirs.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	leader.close()
}
