package config

// waiting are settings whose rows say nothing of their effect because they will do
// what they say, and that wait for the capability named here. A setting whose
// capability is built leaves this table.
var waiting = map[string]string{
	"compaction-batch-limit":    "compaction at a set pace",
	"compaction-sleep-interval": "compaction at a set pace",
	"enable-grpc-gateway":       "the JSON gateway",
	"unsafe-no-fsync":           "running without syncs",
}

// waitsFor is the capability that a setting waits for, "" if there is none.
func waitsFor(s *setting) string { return waiting[s.name] }
