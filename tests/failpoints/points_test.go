package failpoints

// way is how a failpoint is come to.
type way int

const (
	byLoad     way = iota // whatever clients do
	byLeader              // the same, on the leader
	byFollower            // the same, on another member
	byMembers             // changes of members
	byState               // a whole state that is received
	byFounding            // the first start
)

// values are the failpoints that give a value: those of always, and the clock, which
// tests/chaos has jump.
var values = []string{"logSegmentBytes", "logCutEvery", "memberClock"}

// points are all failpoints that stop a member.
var points = []struct {
	name string
	way  way
}{
	{"raftBeforeSave", byLoad},
	{"raftAfterSave", byLoad},
	{"raftBeforeFollowerSend", byFollower},
	{"raftBeforeAdvance", byLoad},
	{"raftBeforeLeaderSend", byLeader},
	{"raftBeforeSaveSnap", byState},
	{"raftAfterSaveSnap", byState},
	{"raftBeforeApplySnap", byState},
	{"raftAfterApplySnap", byState},
	{"raftAfterWALRelease", byLoad},
	{"raftDropHeartbeat", byLoad},
	{"walBeforeSync", byLoad},
	{"walAfterSync", byLoad},
	{"walBeforeSegmentRename", byLoad},
	{"walBeforeSegmentRemove", byLoad},
	{"walAfterSegmentRemove", byLoad},
	{"beforeApplyOneEntryNormal", byLoad},
	{"beforeApplyOneConfChange", byMembers},
	{"beforeStartDBTxn", byLoad},
	{"afterStartDBTxn", byLoad},
	{"commitBeforePreCommitHook", byLoad},
	{"commitAfterPreCommitHook", byLoad},
	{"beforeCommit", byLoad},
	{"afterCommit", byLoad},
	{"beforeWritebackBuf", byLoad},
	{"afterWritebackBuf", byLoad},
	{"beforeSendWatchResponse", byLoad},
	{"compactBeforeCommitScheduledCompact", byLoad},
	{"compactAfterCommitScheduledCompact", byLoad},
	{"compactBeforeCommitBatch", byLoad},
	{"compactAfterCommitBatch", byLoad},
	{"compactBeforeSetFinishedCompact", byLoad},
	{"compactAfterSetFinishedCompact", byLoad},
	{"defragBeforeCopy", byLoad},
	{"defragBeforeRename", byLoad},
	{"applyBeforeOpenSnapshot", byState},
	{"applyAfterOpenSnapshot", byState},
	{"transferBeforeSeal", byState},
	{"transferAfterSeal", byState},
	{"transferBeforeSwap", byState},
	{"transferAfterSwap", byState},
	{"bootstrapAfterEngine", byFounding},
	{"bootstrapBeforeLog", byFounding},
	{"bootstrapAfterLog", byFounding},
}
