package cluster

import (
	"errors"
	"testing"
)

func TestStrictReconfiguration(t *testing.T) {
	voter := func(id uint64) Member { return Member{ID: id, Name: "m"} }
	unstarted := func(id uint64) Member { return Member{ID: id} }
	learner := func(id uint64) Member { return Member{ID: id, Name: "l", IsLearner: true} }
	add := func(isLearner bool) func(*View, Reach) error {
		return func(v *View, r Reach) error { return v.CheckAdd(isLearner, r) }
	}
	remove := func(id uint64) func(*View, Reach) error {
		return func(v *View, r Reach) error { return v.CheckRemove(id, r) }
	}
	for name, c := range map[string]struct {
		members []Member
		active  []uint64 // beside member 1, who is asked
		check   func(*View, Reach) error
		want    error
	}{
		"one grows to two":                   {[]Member{voter(1)}, nil, add(false), nil},
		"one unstarted does not grow":        {[]Member{unstarted(1)}, nil, add(false), ErrNotEnoughStarted},
		"two, one unstarted":                 {[]Member{voter(1), unstarted(2)}, nil, add(false), ErrNotEnoughStarted},
		"two, one unstarted, a learner":      {[]Member{voter(1), unstarted(2)}, nil, add(true), ErrUnhealthy},
		"two":                                {[]Member{voter(1), voter(2)}, []uint64{2}, add(false), nil},
		"three":                              {[]Member{voter(1), voter(2), voter(3)}, []uint64{2, 3}, add(false), nil},
		"three, one down":                    {[]Member{voter(1), voter(2), voter(3)}, []uint64{2}, add(false), ErrUnhealthy},
		"three, one down, a learner":         {[]Member{voter(1), voter(2), voter(3)}, []uint64{2}, add(true), ErrUnhealthy},
		"learners are not counted":           {[]Member{voter(1), learner(2)}, nil, add(false), nil},
		"the last one stays":                 {[]Member{voter(1)}, nil, remove(1), ErrNotEnoughStarted},
		"a learner goes":                     {[]Member{voter(1), learner(2)}, nil, remove(2), nil},
		"an unknown one is not our business": {[]Member{voter(1)}, nil, remove(9), nil},
		"an unknown one, too few started":    {[]Member{voter(1), unstarted(2)}, nil, remove(9), ErrNotEnoughStarted},
		"one of two, down":                   {[]Member{voter(1), voter(2)}, nil, remove(2), nil},
		"one of two, up":                     {[]Member{voter(1), voter(2)}, []uint64{2}, remove(2), nil},
		"one of three, down":                 {[]Member{voter(1), voter(2), voter(3)}, []uint64{2}, remove(3), nil},
		"one of three, up, another down":     {[]Member{voter(1), voter(2), voter(3)}, []uint64{2}, remove(2), ErrUnhealthy},
		"itself, another down":               {[]Member{voter(1), voter(2), voter(3)}, []uint64{2}, remove(1), ErrUnhealthy},
		"one of three, others unstarted":     {[]Member{voter(1), unstarted(2), unstarted(3)}, []uint64{2, 3}, remove(1), ErrNotEnoughStarted},
		"promotion to two":                   {[]Member{voter(1), learner(2)}, nil, (*View).CheckPromote, nil},
		"promotion beside an unstarted one":  {[]Member{voter(1), unstarted(2), unstarted(3), learner(4)}, nil, (*View).CheckPromote, ErrNotEnoughStarted},
	} {
		t.Run(name, func(t *testing.T) {
			reach := Reach{Self: 1, Active: func(id uint64) bool {
				for _, a := range c.active {
					if a == id {
						return true
					}
				}
				return false
			}}
			if err := c.check(NewView(c.members, nil), reach); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
