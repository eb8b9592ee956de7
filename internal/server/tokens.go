package server

import (
	"context"
	"sync"
	"time"

	"bowline/internal/auth"
)

// Assign, EndOf and EndAll follow what is applied; see fsm.Tokens.
func (s *Server) Assign(user, token string) {
	if t := s.cfg.Tokens.Simple; t != nil {
		t.Assign(user, token, time.Now())
	}
}

// EndOf: see Assign.
func (s *Server) EndOf(user string) {
	s.passwords.Forget()
	if t := s.cfg.Tokens.Simple; t != nil {
		t.EndOf(user)
	}
}

// EndAll: see Assign.
func (s *Server) EndAll() {
	s.passwords.Forget()
	if t := s.cfg.Tokens.Simple; t != nil {
		t.EndAll()
	}
}

// tokenScan is how often expired tokens are looked for.
const tokenScan = time.Second

// expireTokens removes tokens whose time is over, until ctx ends.
func (s *Server) expireTokens(ctx context.Context) {
	if s.cfg.Tokens.Simple == nil {
		return
	}
	for now := range ticks(ctx, tokenScan) {
		s.cfg.Tokens.Simple.Expire(now)
	}
}

// rulesSeen tells those who wait that the rules have changed.
type rulesSeen struct {
	mu      sync.Mutex // guards changed
	changed chan struct{}
}

// next is closed at the next change.
func (r *rulesSeen) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// RulesChanged follows what is applied.
func (s *Server) RulesChanged(*auth.Rules) {
	s.rules.mu.Lock()
	defer s.rules.mu.Unlock()
	if s.rules.changed != nil {
		close(s.rules.changed)
		s.rules.changed = nil
	}
}

// RulesAndChange are the rules, and a channel that is closed when there are others.
func (s *Server) RulesAndChange() (*auth.Rules, <-chan struct{}) {
	changed := s.rules.next()
	return s.fsm.Rules(), changed
}
