package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"bowline/internal/auth"
	"bowline/internal/engine"
	"bowline/internal/wire"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Tokens is told of the tokens that are assigned through the log, and of those that
// changes of users end. It must not block.
type Tokens interface {
	Assign(user, token string)
	EndOf(user string)
	EndAll()
}

// Rules are who may do what. They are as new as any revision that was read before they
// were asked for.
func (f *FSM) Rules() *auth.Rules { return f.rules.Load() }

// AuthRevision counts the changes of users and roles, from 1.
func (f *FSM) AuthRevision() uint64 { return f.Rules().Revision }

// identity is on whose behalf a request was proposed.
func identity(req *pb.InternalRaftRequest) auth.Identity {
	return auth.Identity{User: req.GetHeader().GetUsername(), Revision: req.GetHeader().GetAuthRevision()}
}

// guarded is the part of a request that the rules are asked about when it is applied,
// nil if there is none. It is what etcd asks about, since all members must agree.
func guarded(req *pb.InternalRaftRequest) any {
	switch {
	case req.Put != nil:
		return req.Put
	case req.Txn != nil:
		return req.Txn
	case req.DeleteRange != nil:
		return req.DeleteRange
	case req.Range != nil:
		return req.Range
	case req.LeaseRevoke != nil:
		return req.LeaseRevoke
	}
	return nil
}

// refusedByRules tells what the rules forbid.
func (f *FSM) refusedByRules(req *pb.InternalRaftRequest) error {
	if rules := f.Rules(); rules.Enabled {
		return rules.Check(identity(req), guarded(req), f.store.AttachedKeys)
	}
	return nil
}

// asksForLease tells whether the rules must look at what is attached to a lease before
// a request is applied. What entries of the same group attach is not to be seen, so
// there must be none.
func (f *FSM) asksForLease(req *pb.InternalRaftRequest) bool {
	rules := f.Rules()
	return rules.Enabled && rules.AsksForLease(identity(req), guarded(req))
}

// tagToken is that of AuthenticateResponse behind the header.
const tagToken = 2<<3 | 2

// applyAuth applies a request about users, roles and tokens; it is alone in its group.
func (f *FSM) applyAuth(g *group, req *pb.InternalRaftRequest, index uint64) ([]byte, error) {
	old := f.Rules()
	c, err := old.Apply(identity(req), req, index)
	if err != nil {
		return nil, err
	}
	if err := storeRules(g.kv.Batch(), old, &c); err != nil {
		return nil, err
	}
	deed, by := auth.Deed(req), identity(req).User
	g.access = func() {
		f.rules.Store(c.Next)
		f.tellTokens(&c)
	}
	g.after = append(g.after, func() {
		if c.Next != old {
			f.cfg.Logger.Info(deed, append(whatOfRules(req, old, c.Next), zap.String("by", by), zap.Uint64("auth-revision", c.Next.Revision))...)
			if f.cfg.RulesChanged != nil {
				f.cfg.RulesChanged(c.Next)
			}
		}
	})
	if c.Token == "" {
		return nil, nil
	}
	return wire.AppendMessage(nil, tagToken, []byte(c.Token)), nil
}

// tellTokens follows the rules: whoever finds a token finds the rules that it was given
// under.
func (f *FSM) tellTokens(c *auth.Change) {
	switch t := f.cfg.Tokens; {
	case t == nil:
	case c.AllEnded:
		t.EndAll()
	case c.Ended != "":
		t.EndOf(c.Ended)
	case c.Token != "":
		t.Assign(c.User, c.Token)
	}
}

// storeRules writes the records that a change makes differ.
func storeRules(b *engine.Batch, old *auth.Rules, c *auth.Change) error {
	if c.Next == old {
		return nil
	}
	for _, name := range c.Users {
		if err := storeRecord(b, authKey(authUser, name), c.Next.User(name), c.Next.User(name) == nil); err != nil {
			return err
		}
	}
	for _, name := range c.Roles {
		if err := storeRecord(b, authKey(authRole, name), c.Next.Role(name), c.Next.Role(name) == nil); err != nil {
			return err
		}
	}
	if c.Next.Enabled {
		if err := set(b, metaKey(metaAuthEnabled), []byte{1}); err != nil {
			return err
		}
	} else if err := b.Delete(metaKey(metaAuthEnabled), nil); err != nil {
		return err
	}
	return set(b, metaKey(metaAuth), binary.BigEndian.AppendUint64(nil, c.Next.Revision))
}

func storeRecord(b *engine.Batch, key []byte, m proto.Message, gone bool) error {
	if gone {
		return b.Delete(key, nil)
	}
	record, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("fsm: encode a user or role: %w", err)
	}
	return set(b, key, record)
}

// loadRules reads the rules from e.
func loadRules(e *engine.Engine) (*auth.Rules, error) {
	var revision uint64
	v, err := e.Get(metaKey(metaAuth))
	switch {
	case errors.Is(err, engine.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("fsm: read the auth revision: %w", err)
	case len(v) != 8:
		return nil, fmt.Errorf("fsm: damaged auth revision %x", v)
	default:
		revision = binary.BigEndian.Uint64(v)
	}
	v, err = e.Get(metaKey(metaAuthEnabled))
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, fmt.Errorf("fsm: read whether access is controlled: %w", err)
	}
	enabled := err == nil
	if enabled && !bytes.Equal(v, []byte{1}) {
		return nil, fmt.Errorf("fsm: damaged record of whether access is controlled: %x", v)
	}
	var users []*authpb.User
	var roles []*authpb.Role
	err = each(e, engine.ClassAuth, func(body, value []byte) error {
		switch name := string(body); {
		case strings.HasPrefix(name, authUser):
			u := new(authpb.User)
			users = append(users, u)
			return parseRecord(value, u, name[len(authUser):], func() []byte { return u.Name })
		case strings.HasPrefix(name, authRole):
			r := new(authpb.Role)
			roles = append(roles, r)
			return parseRecord(value, r, name[len(authRole):], func() []byte { return r.Name })
		}
		return fmt.Errorf("fsm: %q is the record of neither a user nor a role", body)
	})
	return auth.NewRules(enabled, revision, users, roles), err
}

func parseRecord(value []byte, m proto.Message, name string, inside func() []byte) error {
	if err := proto.Unmarshal(value, m); err != nil {
		return fmt.Errorf("fsm: damaged record of user or role %q: %w", name, err)
	}
	if string(inside()) != name {
		return fmt.Errorf("fsm: the record of user or role %q is that of %q", name, inside())
	}
	return nil
}

// checkRules compares the records of users and roles with the rules in use.
func (f *FSM) checkRules() error {
	stored, err := loadRules(f.engine)
	if err != nil {
		return err
	}
	if rules := f.Rules(); !rules.Equal(stored) {
		return fmt.Errorf("fsm: the users and roles in use (revision %d) are not those that are stored (revision %d)",
			rules.Revision, stored.Revision)
	}
	return nil
}
