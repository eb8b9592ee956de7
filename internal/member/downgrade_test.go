package member

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// downgrades calls a member's Downgrade and Status.
type downgrades struct {
	*testing.T
	pb.MaintenanceClient
}

func (d downgrades) ask(action pb.DowngradeRequest_DowngradeAction, version string, want codes.Code) {
	d.Helper()
	resp, err := d.Downgrade(d.Context(), &pb.DowngradeRequest{Action: action, Version: version})
	if status.Code(err) != want {
		d.Errorf("%v to %q: %v, %v, want %v", action, version, resp, err, want)
	}
}

// await waits until a status is as it should be.
func (d downgrades) await(storage, target string) {
	d.Helper()
	deadline := time.After(10 * time.Second)
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		s, err := d.Status(d.Context(), &pb.StatusRequest{})
		if err == nil && s.StorageVersion == storage && s.DowngradeInfo.TargetVersion == target && s.DowngradeInfo.Enabled == (target != "") {
			return
		}
		select {
		case <-t.C:
		case <-deadline:
			d.Fatalf("the status is %v, %v, want storage version %s and target %q", s, err, storage, target)
		}
	}
}

// TestDowngrade lowers the cluster version, which outlives a restart and goes out with
// a snapshot, and raises it again.
func TestDowngrade(t *testing.T) {
	cfg := testConfig(t)
	const validate, enable, cancel = pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE, pb.DowngradeRequest_CANCEL
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := downgrades{t, pb.NewMaintenanceClient(dial(t, m))}
	d.ask(enable, "3.5.0", codes.InvalidArgument)
	d.ask(enable, "three", codes.InvalidArgument)
	d.ask(cancel, "", codes.OK)
	d.ask(enable, "3.6", codes.OK)
	d.await("3.6.0", "3.6.0")
	d.ask(enable, "3.5.0", codes.FailedPrecondition)
	d.ask(validate, "3.5.0", codes.FailedPrecondition)
	x := m.fsm.Export()
	if x.Downgrade.Target != "3.6.0" || x.ClusterVersion != "3.6.0" {
		t.Errorf("exported with version %s and %+v", x.ClusterVersion, x.Downgrade)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}

	d = downgrades{t, pb.NewMaintenanceClient(dial(t, startMember(t, cfg)))}
	d.await("3.6.0", "3.6.0")
	d.ask(cancel, "", codes.OK)
	d.await("3.7.0", "")
}
