package member

import (
	"bowline/internal/v2"

	"github.com/prometheus/client_golang/prometheus"
)

// v2Writes are the operations of API v2 by the names that their metrics have.
var v2Writes = []struct {
	action     string
	ok, failed v2.Counter
}{
	{"create", v2.CreatesOK, v2.CreatesFailed},
	{"set", v2.SetsOK, v2.SetsFailed},
	{"update", v2.UpdatesOK, v2.UpdatesFailed},
	{"delete", v2.DeletesOK, v2.DeletesFailed},
	{"compareAndSwap", v2.SwapsOK, v2.SwapsFailed},
	{"compareAndDelete", v2.ComparedDeletesOK, v2.ComparedDeletesFailed},
}

// collectV2 shows what API v2's tree has counted. Writes are counted by all members alike
// and since the cluster began, reads by each and since its start.
func (s *sight) collectV2(ch chan<- prometheus.Metric) {
	const prefix = "etcd_debugging_store_"
	st, labels := s.fsm.V2().Stats(), []string{"action"}
	show := func(name, help, action string, n uint64) {
		if n > 0 {
			ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(prefix+name, help, labels, nil), counter, float64(n), action)
		}
	}
	show("reads_total", "Reads by API v2.", "get", st.GetsOK)
	show("reads_failed_total", "Reads by API v2 that failed.", "get", st.GetsFailed)
	for _, w := range v2Writes {
		show("writes_total", "Writes by API v2.", w.action, st.Counts[w.ok])
		show("writes_failed_total", "Writes by API v2 that failed.", w.action, st.Counts[w.failed])
	}
}
