package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"bowline/internal/exchange"
	"bowline/internal/fsm"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// sendImage sends the state as etcd does: raft's message, behind its length, and a
// database. One at a time: an image takes three times the room of the live data.
func (s *Sender) sendImage(ctx context.Context, to Peer, m *raftpb.Message) error {
	select {
	case s.image <- struct{}{}:
		defer func() { <-s.image }()
	case <-ctx.Done():
		return ctx.Err()
	}
	dir, err := os.MkdirTemp(s.cfg.Dirs.Dir, statePrefix)
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	defer os.RemoveAll(dir)
	release := s.cfg.HoldLog(s.cfg.FSM.Applied()) // at or below what is exported next
	x := s.cfg.FSM.Export()
	err = s.sendExport(ctx, to, m, dir, x)
	if err != nil {
		release()
		return fmt.Errorf("transfer: send the state of entry %d to member %x as an image: %w", x.Position.Index, to.ID(), err)
	}
	time.AfterFunc(s.cfg.HoldAfter, release)
	s.cfg.Logger.Info("sent database snapshot to remote peer", zap.String("remote-peer-id", fmt.Sprintf("%x", to.ID())),
		zap.Uint64("snapshot-index", x.Position.Index), zap.Bool("image", true))
	if s.cfg.ImageSent != nil {
		s.cfg.ImageSent(ctx)
	}
	return nil
}

// sendExport closes x.
func (s *Sender) sendExport(ctx context.Context, to Peer, m *raftpb.Message, dir string, x *fsm.Export) error {
	f, err := exchange.WriteImage(ctx, dir, x)
	at, conf := x.Position, x.Members.ConfState()
	tree, treeErr := memberTree(x)
	if closeErr := x.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if treeErr != nil {
		return treeErr
	}
	message, err := proto.Marshal(rewrite(m, at, conf, tree))
	if err != nil {
		return err
	}
	body := io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint64(nil, uint64(len(message)))), bytes.NewReader(message),
		&pacedReader{ctx, f, s.pace})
	return postBytes(ctx, to, pathImage, http.Header{}, body)
}

// pacedReader holds a body back while clients are busy.
type pacedReader struct {
	ctx context.Context
	io.Reader
	pace *pacer
}

func (r *pacedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err == nil {
		err = r.pace.wait(r.ctx, n)
	}
	return n, err
}

// treeNode is a node of the v2 store as etcd dumps it. A directory has Children, a
// leaf has null.
type treeNode struct {
	Path     string
	Value    string
	Children map[string]*treeNode
}

func (n *treeNode) dir(name string) *treeNode {
	c := &treeNode{Path: n.Path + "/" + name, Children: make(map[string]*treeNode)}
	n.Children[name] = c
	return c
}

func (n *treeNode) leaf(name, value string) {
	n.Children[name] = &treeNode{Path: n.Path + "/" + name, Value: value}
}

// memberTree is the v2 store that etcd up to 3.6 reads members from: nothing but them.
func memberTree(x *fsm.Export) ([]byte, error) {
	cluster := &treeNode{Path: "/0", Children: make(map[string]*treeNode)}
	root := &treeNode{Path: "/", Children: map[string]*treeNode{"0": cluster, "1": {Path: "/1", Children: make(map[string]*treeNode)}}}
	members, removed := cluster.dir("members"), cluster.dir("removed_members")
	for _, m := range x.Members.Members() {
		n := members.dir(fmt.Sprintf("%x", m.ID))
		raftAttributes, err := json.Marshal(struct {
			PeerURLs  []string `json:"peerURLs"`
			IsLearner bool     `json:"isLearner,omitempty"`
		}{m.PeerURLs, m.IsLearner})
		if err != nil {
			return nil, err
		}
		n.leaf("raftAttributes", string(raftAttributes))
		if !m.Started() {
			continue
		}
		attributes, err := json.Marshal(struct {
			Name       string   `json:"name,omitempty"`
			ClientURLs []string `json:"clientURLs,omitempty"`
		}{m.Name, m.ClientURLs})
		if err != nil {
			return nil, err
		}
		n.leaf("attributes", string(attributes))
	}
	for _, id := range x.Members.RemovedIDs() {
		removed.leaf(fmt.Sprintf("%x", id), "")
	}
	if x.ClusterVersion != "" {
		cluster.leaf("version", x.ClusterVersion)
	}
	return json.Marshal(struct {
		Root           *treeNode
		CurrentIndex   uint64
		CurrentVersion int
	}{root, x.Position.Index, 2})
}
