package config

// waiting are settings whose rows say nothing of their effect because they will do
// what they say, and that wait for the capability named here. A setting whose
// capability is built leaves this table.
var waiting = map[string]string{
	"enable-grpc-gateway": "the JSON gateway",
}

// waitsFor is the capability that a setting waits for, "" if there is none.
func waitsFor(s *setting) string { return waiting[s.name] }
