package cluster

import "errors"

// Refusals of changes that would hurt the cluster.
var (
	ErrNotEnoughStarted = errors.New("etcdserver: re-configuration failed due to not enough started members")
	ErrUnhealthy        = errors.New("etcdserver: unhealthy cluster")
)

// Reach is what the member that is asked for a change sees of the cluster.
type Reach struct {
	// Self is its own ID: it is always in touch with itself.
	Self uint64
	// Active tells whether it has been in touch with a member for long enough.
	Active func(id uint64) bool
}

func (r Reach) active(id uint64) bool { return id == r.Self || r.Active(id) }

// quorum is the smallest majority of n voters.
func quorum(n int) int { return n/2 + 1 }

// voters counts the voters, those of them that have started, and those in reach.
func (v *View) voters(r Reach) (all, started, active int) {
	for i := range v.members {
		m := &v.members[i]
		if m.IsLearner {
			continue
		}
		all++
		if m.Started() {
			started++
		}
		if r.active(m.ID) {
			active++
		}
	}
	return all, started, active
}

// CheckAdd tells why no member should be added now: as a voter it would leave too
// few that have started, and in either role the quorum to come must be in reach.
func (v *View) CheckAdd(learner bool, r Reach) error {
	all, started, active := v.voters(r)
	if !learner && started < quorum(all+1) && (all != 1 || started != 1) {
		return ErrNotEnoughStarted
	}
	if all > 1 && active < quorum(all+1) {
		return ErrUnhealthy
	}
	return nil
}

// CheckPromote tells why no learner should become a voter now.
func (v *View) CheckPromote(r Reach) error {
	if all, started, _ := v.voters(r); started+1 < quorum(all+1) {
		return ErrNotEnoughStarted
	}
	return nil
}

// CheckRemove tells why a member should not be removed now. Learners may always be;
// that there is no such member is not for here to say.
func (v *View) CheckRemove(id uint64, r Reach) error {
	m := v.Member(id)
	if m != nil && m.IsLearner {
		return nil
	}
	all, started, active := v.voters(r)
	left := all
	if m != nil {
		left--
		if m.Started() {
			started--
		}
	}
	if started < quorum(left) {
		return ErrNotEnoughStarted
	}
	if id != r.Self && !r.active(id) {
		return nil
	}
	if active-1 < 1+(all-1)/2 {
		return ErrUnhealthy
	}
	return nil
}
