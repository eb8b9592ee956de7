package member

import (
	"fmt"
	"runtime"
	"time"

	"bowline/internal/admission"
	"bowline/internal/audit"

	"github.com/prometheus/client_golang/prometheus"
)

// openLimits makes what decides about clients beside the rules: the memory that is
// watched, what users cost, and the audit log.
func (m *Member) openLimits() error {
	watermark := m.cfg.Memory.Bytes
	if percent := int64(m.cfg.Memory.Percent); percent > 0 {
		available, err := admission.AvailableMemory("/")
		if err != nil {
			return fmt.Errorf("--memory-watermark: %w", err)
		}
		watermark = available / 100 * percent
	}
	if watermark > 0 {
		m.memory = admission.NewMemory(admission.MemoryConfig{Watermark: watermark, Used: admission.ProcessMemory,
			Collect: runtime.GC, Now: time.Now, Logger: m.log})
	}
	m.costs = admission.NewCosts(admission.CostsConfig{Requests: m.cfg.UserRequests, Bytes: m.cfg.UserBytes, Now: time.Now})
	if m.cfg.Audit.Path == "" {
		return nil
	}
	var err error
	m.audit, err = audit.Open(audit.Config{Path: m.cfg.Audit.Path, MaxMB: int(m.cfg.Audit.MaxSizeMB), MaxFiles: int(m.cfg.Audit.MaxFiles),
		Member: m.cfg.Name, Logger: m.log})
	return err
}

// collectCosts shows who was refused for what it costs.
func (s *sight) collectCosts(ch chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("bowline_user_refused_total", "Requests refused because their user has asked too much, by user.", []string{"user"}, nil)
	for user, n := range s.costs.Refused() {
		ch <- prometheus.MustNewConstMetric(desc, counter, float64(n), user)
	}
}
