package httpapi

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// checkCounts counts the sub-checks of /livez and /readyz.
type checkCounts struct {
	mu     sync.Mutex // guards counts
	counts map[checkName]checkCount
}

type checkName struct{ kind, name string }

type checkCount struct {
	success, failure int64
	last             bool
}

func (c *checkCounts) add(kind, name string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[checkName]checkCount)
	}
	n := c.counts[checkName{kind, name}]
	if n.last = ok; ok {
		n.success++
	} else {
		n.failure++
	}
	c.counts[checkName{kind, name}] = n
}

// Describe implements prometheus.Collector. The series are made on use, so none
// are described beforehand.
func (a *API) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (a *API) Collect(ch chan<- prometheus.Metric) {
	counter := func(name, help string, v int64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, float64(v))
	}
	counter("etcd_server_health_success", "Answers of /health that were good.", a.HealthSuccess.Load())
	counter("etcd_server_health_failures", "Answers of /health that were bad.", a.HealthFailures.Load())
	last := prometheus.NewDesc("etcd_server_healthcheck", "The last result of a sub-check: 1 good, 0 bad.", []string{"type", "name"}, nil)
	total := prometheus.NewDesc("etcd_server_healthchecks_total", "Sub-checks by result.", []string{"type", "name", "status"}, nil)
	a.checks.mu.Lock()
	defer a.checks.mu.Unlock()
	for k, n := range a.checks.counts {
		v := 0.0
		if n.last {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(last, prometheus.GaugeValue, v, k.kind, k.name)
		ch <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(n.success), k.kind, k.name, "success")
		ch <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(n.failure), k.kind, k.name, "error")
	}
}
