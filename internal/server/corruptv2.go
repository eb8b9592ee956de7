package server

import (
	"context"
	"fmt"

	"bowline/internal/cluster"
	"bowline/internal/v2"

	"go.uber.org/zap"
)

// The tree of API v2 is compared by a question of our own: HashKV is etcd's, and knows
// nothing of it. Members are compared at an index of the tree that both know.

// treeHash is what a member answered.
type treeHash struct {
	id   uint64
	hash v2.Hash
	err  error
}

// treeHashes asks all other members for the hash of their tree, at an index or, if they
// are not there yet, before.
func (s *Server) treeHashes(ctx context.Context, index uint64) []treeHash {
	return askOthers(ctx, s, func(ctx context.Context, m cluster.Member) treeHash {
		h, err := s.cfg.Peers.TreeHash(ctx, m.PeerURLs, index)
		return treeHash{m.ID, h, err}
	})
}

// TreeHash is the hash of the tree here, at an index or, if that is not here yet, of now.
// If the index is too long ago the hash is of now, too.
func (s *Server) TreeHash(ctx context.Context, index uint64) (v2.Hash, error) {
	tree := s.fsm.V2()
	h, err := tree.Hash(ctx)
	if err == nil && index < h.Index {
		if then, known := tree.Rewind(h, index); known {
			h = then
		}
	}
	return h, err
}

// differing compares a member's tree with this one's. A member that cannot be asked, or
// is too far behind or ahead, is passed over.
func (s *Server) differing(own v2.Hash, a treeHash) (why string) {
	then, known := s.fsm.V2().Rewind(own, a.hash.Index)
	switch {
	case a.err != nil:
		s.cfg.Logger.Debug("the hash of a member's tree of API v2 is not known", memberField("remote-peer-id", a.id), zap.Error(a.err))
	case known && then.Sum != a.hash.Sum:
		return fmt.Sprintf("at index %d the hash of its tree of API v2 is %016x, the leader's %016x", then.Index, a.hash.Sum, then.Sum)
	}
	return ""
}

// compareTrees compares this member's tree with the others', and raises an alarm for who
// differs.
func (s *Server) compareTrees(ctx context.Context) error {
	own, err := s.fsm.V2().Hash(ctx)
	if err != nil {
		return err
	}
	for _, a := range s.treeHashes(ctx, own.Index) {
		if why := s.differing(own, a); why != "" {
			if err := s.raiseCorrupt(ctx, a.id, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareTreesAtStart refuses if a member that answers has another tree.
func (s *Server) compareTreesAtStart(ctx context.Context) error {
	own, err := s.fsm.V2().Hash(ctx)
	if err != nil {
		return err
	}
	for _, a := range s.treeHashes(ctx, own.Index) {
		if why := s.differing(own, a); why != "" {
			s.cfg.Logger.Error("found different hash values from remote peer", memberField("remote-peer-id", a.id), zap.String("reason", why))
			return fmt.Errorf("%x found data inconsistency with peers", s.cfg.MemberID)
		}
	}
	return nil
}
