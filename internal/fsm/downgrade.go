package fsm

import (
	"errors"
	"fmt"

	"bowline/internal/engine"

	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/proto"
)

// Downgrade is the lowering of the cluster version that is under way, if any.
type Downgrade struct {
	Enabled bool
	// Target is the version to come, like "3.6.0"; empty unless Enabled.
	Target string
}

// Downgrade tells whether the cluster version is being lowered.
func (f *FSM) Downgrade() Downgrade { return *f.lowered.Load() }

func (f *FSM) applyDowngrade(g *group, req *membershippb.DowngradeInfoSetRequest) error {
	d := Downgrade{Enabled: req.Enabled}
	if d.Enabled {
		d.Target = req.Ver
	}
	f.lowered.Store(&d)
	return putDowngrade(g.kv.Batch(), d)
}

func putDowngrade(b *engine.Batch, d Downgrade) error {
	record, err := proto.Marshal(&membershippb.DowngradeInfoSetRequest{Enabled: d.Enabled, Ver: d.Target})
	if err != nil {
		return err
	}
	return set(b, metaKey(metaDowngrade), record)
}

func loadDowngrade(e *engine.Engine) (d Downgrade, err error) {
	record, err := e.Get(metaKey(metaDowngrade))
	if errors.Is(err, engine.ErrNotFound) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("fsm: read the downgrade: %w", err)
	}
	var m membershippb.DowngradeInfoSetRequest
	if err := proto.Unmarshal(record, &m); err != nil {
		return d, fmt.Errorf("fsm: damaged record of the downgrade: %w", err)
	}
	return Downgrade{Enabled: m.Enabled, Target: m.Ver}, nil
}
