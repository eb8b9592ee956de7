package server

import (
	"net"
	"net/url"
	"slices"
)

// What a member alone answers to calls that change members or access control. Each
// refuses; those that would have to be carried out wait for their capability, see
// rpc.UnbuiltCalls.

// rootUser is the user without whom access control cannot be enabled.
const rootUser = "root"

// AuthEnable tells why access control cannot be enabled.
func (s *Server) AuthEnable() error {
	if !s.fsm.HasUser(rootUser) {
		return ErrRootUserMissing
	}
	return errUnbuilt("access control")
}

// MemberAdd tells why no member with these URLs can be added.
func (s *Server) MemberAdd(peerURLs []string) error {
	if len(peerURLs) == 0 || slices.ContainsFunc(peerURLs, badMemberURL) {
		return ErrBadMemberURLs
	}
	for _, m := range s.fsm.Members().Members() {
		if slices.ContainsFunc(peerURLs, func(u string) bool { return slices.Contains(m.PeerURLs, u) }) {
			return ErrPeerURLExists
		}
	}
	return errUnbuilt("clusters of several members")
}

// badMemberURL tells that members cannot be reached at a URL.
func badMemberURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return true
	}
	switch u.Scheme {
	case "unix", "unixs":
		return false
	case "http", "https":
		_, _, err := net.SplitHostPort(u.Host)
		return err != nil || u.Path != ""
	}
	return true
}

// MemberRemove tells why a member cannot be removed.
func (s *Server) MemberRemove(id uint64) error {
	members := s.fsm.Members()
	switch {
	case members.Member(id) == nil:
		return ErrMemberNotFound
	case len(members.Members()) == 1:
		return ErrNotEnoughStarted
	}
	return errUnbuilt("clusters of several members")
}

// MemberUpdate tells why a member's URLs cannot be changed.
func (s *Server) MemberUpdate(id uint64) error {
	if s.fsm.Members().Member(id) == nil {
		return ErrMemberNotFound
	}
	return errUnbuilt("clusters of several members")
}

// MemberPromote tells why a member cannot be given a vote.
func (s *Server) MemberPromote(id uint64) error {
	switch m := s.fsm.Members().Member(id); {
	case m == nil:
		return ErrMemberNotFound
	case !m.IsLearner:
		return ErrNotLearner
	}
	return errUnbuilt("clusters of several members")
}
