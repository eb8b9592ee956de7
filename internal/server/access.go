package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"bowline/internal/auth"
	"bowline/internal/fsm"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Credentials are what a caller shows to prove who it is.
type Credentials struct {
	// Token counts if HasToken is set, even if it is empty or wrong.
	Token    string
	HasToken bool
	// CommonName is that of a verified client certificate, empty if there is none or if
	// it does not count.
	CommonName string
}

// identify finds out who calls. Nobody is asked while access is not controlled, and a
// caller without credentials is nobody.
func (s *Server) identify(ctx context.Context, rules *auth.Rules) (auth.Identity, error) {
	if !rules.Enabled || s.cfg.Credentials == nil {
		return auth.Identity{}, nil
	}
	if found, ok := ctx.Value(foundKey{}).(*found); ok {
		return found.by(rules, func() (auth.Identity, error) { return s.findOut(ctx, rules) })
	}
	return s.findOut(ctx, rules)
}

type foundKey struct{}

// found is who a caller was found to be by some rules.
type found struct {
	mu    sync.Mutex // guards what follows; held while it is found out
	rules *auth.Rules
	id    auth.Identity
	err   error
}

func (f *found) by(rules *auth.Rules, findOut func() (auth.Identity, error)) (auth.Identity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rules != rules {
		f.id, f.err = findOut()
		f.rules = rules
	}
	return f.id, f.err
}

// FindOutOnce returns a context for a call that asks several times who its caller is. It
// is for calls that end soon: a token that expires meanwhile is not noticed.
func FindOutOnce(ctx context.Context) context.Context {
	return context.WithValue(ctx, foundKey{}, new(found))
}

func (s *Server) findOut(ctx context.Context, rules *auth.Rules) (auth.Identity, error) {
	c := s.cfg.Credentials(ctx)
	switch {
	case c.HasToken && s.cfg.Tokens.JWT != nil:
		id, err := s.cfg.Tokens.JWT.Verify(c.Token, time.Now())
		if err != nil {
			return auth.Identity{}, auth.ErrInvalidToken
		}
		return id, nil
	case c.HasToken:
		return s.ownerOf(ctx, c.Token, rules)
	case c.CommonName != "":
		return auth.Identity{User: c.CommonName, Revision: rules.Revision}, nil
	}
	return auth.Identity{}, nil
}

// ownerOf finds out whose a simple token is. One that is not known may have been
// assigned by an entry that is not applied here yet, which the token names; that is
// waited for.
func (s *Server) ownerOf(ctx context.Context, token string, rules *auth.Rules) (auth.Identity, error) {
	tokens := s.cfg.Tokens.Simple
	if tokens == nil {
		return auth.Identity{}, auth.ErrInvalidToken
	}
	user, ok := tokens.User(token, time.Now())
	if !ok && s.tokenMayCome(ctx, token) {
		user, ok = tokens.User(token, time.Now())
		rules = s.fsm.Rules()
	}
	if !ok {
		return auth.Identity{}, auth.ErrInvalidToken
	}
	return auth.Identity{User: user, Revision: rules.Revision}, nil
}

const (
	// maxTokenWaits bounds how many wait for the entries that their tokens name, and
	// maxTokenAhead how far ahead of what is applied here those may be: anybody can name
	// an entry that never comes.
	maxTokenWaits = 1024
	maxTokenAhead = 1 << 20
)

// tokenMayCome waits until the entry is applied that has assigned a token, and tells
// whether it was worth it.
func (s *Server) tokenMayCome(ctx context.Context, token string) bool {
	index, looksLikeOne := auth.TokenIndex(token)
	if applied := s.fsm.Applied(); !looksLikeOne || index > applied && index-applied > maxTokenAhead {
		return false
	}
	defer s.tokenWaits.Add(-1)
	if s.tokenWaits.Add(1) > maxTokenWaits {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout())
	defer cancel()
	return s.applied.wait(ctx, index) == nil
}

// Identify finds out who calls, while access is controlled.
func (s *Server) Identify(ctx context.Context) (auth.Identity, error) {
	return s.identify(ctx, s.fsm.Rules())
}

// Identified refuses a caller who is nobody, while access is controlled.
func (s *Server) Identified(ctx context.Context) error {
	rules := s.fsm.Rules()
	if !rules.Enabled {
		return nil
	}
	id, err := s.identify(ctx, rules)
	if err == nil && id == (auth.Identity{}) {
		err = auth.ErrUserEmpty
	}
	return err
}

// Administrator refuses a caller who is not an administrator, while access is
// controlled.
func (s *Server) Administrator(ctx context.Context) error {
	_, err := s.asAdministrator(ctx)
	return err
}

func (s *Server) asAdministrator(ctx context.Context) (auth.Identity, error) {
	return s.allowed(ctx, func(rules *auth.Rules, id auth.Identity) error { return rules.Admin(id) })
}

// allowed asks the rules about a caller. This member may be behind, so before somebody
// who has proved an identity is refused it catches up and the rules are asked again.
func (s *Server) allowed(ctx context.Context, ask func(*auth.Rules, auth.Identity) error) (auth.Identity, error) {
	for caughtUp := false; ; caughtUp = true {
		rules := s.fsm.Rules()
		if !rules.Enabled {
			return auth.Identity{}, nil
		}
		id, err := s.identify(ctx, rules)
		if err != nil {
			return id, err
		}
		err = ask(rules, id)
		if err == nil || caughtUp || id.Revision == 0 {
			return id, err
		}
		if err := s.readIndex(ctx); err != nil {
			return id, err
		}
	}
}

// permitted asks the rules about a request that will be proposed. They are asked again
// when it is applied; this keeps out of the log what would be refused. While an alarm is
// raised only the latter is done, since the alarm's refusal comes first.
func (s *Server) permitted(ctx context.Context, req any) (auth.Identity, error) {
	return s.allowed(ctx, func(rules *auth.Rules, id auth.Identity) error {
		if len(s.fsm.Alarms()) > 0 {
			return nil
		}
		return rules.Check(id, req, s.store.AttachedKeys)
	})
}

// mayRead refuses a read, or a watch. To be asked after the state that is read was
// chosen: then nobody sees what was written after the right was lost.
func (s *Server) mayRead(ctx context.Context, req any) error {
	rules := s.fsm.Rules()
	id, err := s.callerBy(ctx, rules, req)
	// One of before a change is refused even what reads no key, which the rules do not
	// look at. One that is ahead of all rules is of another cluster, or another time.
	if err == nil && id.Revision != 0 && (id.Revision < rules.Revision || id.Revision > s.fsm.Rules().Revision) {
		return auth.ErrOldRevision
	}
	return err
}

// MayWatch refuses a watch that its caller may not have, for the whole of its range.
func (s *Server) MayWatch(ctx context.Context, req *pb.WatchCreateRequest) error {
	if err := s.mayRead(ctx, req); err != nil {
		return err
	}
	return s.cfg.Memory.NewWatch()
}

// retries is how often a request is proposed again that was overtaken by a change of
// the rules.
const retries = 5

// ask proposes a request on behalf of its caller.
func (s *Server) ask(ctx context.Context, req any, encode encoder) (fsm.Result, error) {
	return s.askAs(ctx, func(ctx context.Context) (auth.Identity, error) { return s.permitted(ctx, req) }, encode)
}

// askAs proposes a request on behalf of whom who names. If the rules change on the way,
// the identity is found out anew, unless it is the caller's own doing that it is old.
func (s *Server) askAs(ctx context.Context, who func(context.Context) (auth.Identity, error), encode encoder) (fsm.Result, error) {
	if s.overloaded(ctx) {
		return fsm.Result{}, ErrTooManyRequests
	}
	for try := 0; ; try++ {
		id, err := who(ctx)
		if err != nil {
			return fsm.Result{}, err
		}
		r, err := s.proposeAs(ctx, id, encode)
		if !errors.Is(err, auth.ErrOldRevision) || try == retries || id.Revision == 0 {
			return r, err
		}
		if now, err := s.identify(ctx, s.fsm.Rules()); err != nil || now == id {
			return r, auth.ErrOldRevision
		}
	}
}

// asRoot is on whose behalf a member proposes what it does by itself.
func (s *Server) asRoot(context.Context) (auth.Identity, error) {
	if rules := s.fsm.Rules(); rules.Enabled {
		return auth.Identity{User: auth.RootUser, Revision: rules.Revision}, nil
	}
	return auth.Identity{}, nil
}

// mayDo asks the rules about what needs the keys of a lease and does not go through the
// log.
func (s *Server) mayDo(ctx context.Context, req any) error {
	_, err := s.callerBy(ctx, s.fsm.Rules(), req)
	return err
}

// callerBy is who asks for something that the rules allow, or why they do not; nobody
// while there are no rules.
func (s *Server) callerBy(ctx context.Context, rules *auth.Rules, req any) (auth.Identity, error) {
	if !rules.Enabled {
		return auth.Identity{}, nil
	}
	id, err := s.identify(ctx, rules)
	if err == nil {
		err = rules.Check(id, req, s.store.AttachedKeys)
	}
	return id, err
}

// mayReadAll refuses to show keys of which the caller may not read each.
func (s *Server) mayReadAll(ctx context.Context, keys [][]byte) error {
	rules := s.fsm.Rules()
	if len(keys) == 0 || !rules.Enabled {
		return nil
	}
	id, err := s.identify(ctx, rules)
	if err != nil || rules.Admin(id) == nil {
		return err
	}
	for _, key := range keys {
		if err := rules.Check(id, &pb.RangeRequest{Key: key}, s.store.AttachedKeys); err != nil {
			return err
		}
	}
	return nil
}
