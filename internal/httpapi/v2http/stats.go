package v2http

import (
	"net/http"
	"time"

	"bowline/internal/v2"
)

// Standing is how a member stands among the others, as its statistics show it.
type Standing struct {
	Name    string
	Started time.Time
	// Leader is 0 if there is none, and LeaderSince since when it leads.
	Leader      uint64
	LeaderSince time.Time
	// Leads tells whether this member leads, Led whether it did so last: a leader that has
	// lost its majority goes by what it was.
	Leads, Led bool
	// Received and Sent count messages with entries of the log; the rates are of the last
	// second.
	Received, Sent Traffic
	Followers      map[uint64]Follower
}

// Traffic is messages with entries, one way.
type Traffic struct {
	Count            uint64
	PerSecond, Bytes float64 // of the last second
}

// Follower is how long messages with entries took, in milliseconds.
type Follower struct {
	Current, Average, Deviation, Least, Most float64
	Failed, Succeeded                        uint64
}

type leaderInfo struct {
	Leader  string    `json:"leader"`
	Uptime  string    `json:"uptime"`
	Started time.Time `json:"startTime"`
}

type selfStats struct {
	Name      string     `json:"name"`
	ID        string     `json:"id"`
	State     string     `json:"state"`
	Started   time.Time  `json:"startTime"`
	Leader    leaderInfo `json:"leaderInfo"`
	Received  uint64     `json:"recvAppendRequestCnt"`
	RecvRate  float64    `json:"recvPkgRate,omitempty"`
	RecvBytes float64    `json:"recvBandwidthRate,omitempty"`
	Sent      uint64     `json:"sendAppendRequestCnt"`
	SendRate  float64    `json:"sendPkgRate,omitempty"`
	SendBytes float64    `json:"sendBandwidthRate,omitempty"`
}

func (a *API) statsSelf(w http.ResponseWriter, _ *http.Request) {
	s := a.Member.Standing()
	out := selfStats{
		Name: s.Name, ID: hex(a.MemberID), State: "StateFollower", Started: s.Started,
		Leader:   leaderInfo{hex(s.Leader), time.Since(s.LeaderSince).String(), s.LeaderSince},
		Received: s.Received.Count, RecvRate: s.Received.PerSecond, RecvBytes: s.Received.Bytes,
		Sent: s.Sent.Count, SendRate: s.Sent.PerSecond, SendBytes: s.Sent.Bytes,
	}
	if s.Leads || s.Led && s.Leader == 0 {
		out.State = "StateLeader"
	}
	figures(w, out)
}

type latencyJSON struct {
	Current   float64 `json:"current"`
	Average   float64 `json:"average"`
	Deviation float64 `json:"standardDeviation"`
	Least     float64 `json:"minimum"`
	Most      float64 `json:"maximum"`
}

type countsJSON struct {
	Failed    uint64 `json:"fail"`
	Succeeded uint64 `json:"success"`
}

type followerJSON struct {
	Latency latencyJSON `json:"latency"`
	Counts  countsJSON  `json:"counts"`
}

func (a *API) statsLeader(w http.ResponseWriter, _ *http.Request) {
	s := a.Member.Standing()
	if !s.Leads {
		a.refuse(w, refuse(http.StatusForbidden, "not current leader"))
		return
	}
	followers := map[string]followerJSON{}
	for id, f := range s.Followers {
		followers[hex(id)] = followerJSON{
			latencyJSON{f.Current, f.Average, f.Deviation, f.Least, f.Most}, countsJSON{f.Failed, f.Succeeded},
		}
	}
	figures(w, struct {
		Leader    string                  `json:"leader"`
		Followers map[string]followerJSON `json:"followers"`
	}{hex(s.Leader), followers})
}

func (a *API) statsStore(w http.ResponseWriter, _ *http.Request) {
	s := a.Member.Tree().Stats()
	count := func(c v2.Counter) uint64 { return s.Counts[c] }
	figures(w, struct {
		GetsOK         uint64 `json:"getsSuccess"`
		GetsFailed     uint64 `json:"getsFail"`
		SetsOK         uint64 `json:"setsSuccess"`
		SetsFailed     uint64 `json:"setsFail"`
		DeletesOK      uint64 `json:"deleteSuccess"`
		DeletesFailed  uint64 `json:"deleteFail"`
		UpdatesOK      uint64 `json:"updateSuccess"`
		UpdatesFailed  uint64 `json:"updateFail"`
		CreatesOK      uint64 `json:"createSuccess"`
		CreatesFailed  uint64 `json:"createFail"`
		SwapsOK        uint64 `json:"compareAndSwapSuccess"`
		SwapsFailed    uint64 `json:"compareAndSwapFail"`
		ComparedOK     uint64 `json:"compareAndDeleteSuccess"`
		ComparedFailed uint64 `json:"compareAndDeleteFail"`
		Expired        uint64 `json:"expireCount"`
		Watchers       int    `json:"watchers"`
	}{
		s.GetsOK, s.GetsFailed, count(v2.SetsOK), count(v2.SetsFailed), count(v2.DeletesOK), count(v2.DeletesFailed),
		count(v2.UpdatesOK), count(v2.UpdatesFailed), count(v2.CreatesOK), count(v2.CreatesFailed),
		count(v2.SwapsOK), count(v2.SwapsFailed), count(v2.ComparedDeletesOK), count(v2.ComparedDeletesFailed),
		count(v2.Expired), s.Watchers,
	})
}
