package member

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestScarceDescriptorsAreToldOnce(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	var d descriptors
	for i, used := range []uint64{79, 80, 95, 79, 81} {
		d.check(used, 100, zap.New(core))
		if want := []int{0, 1, 1, 1, 2}[i]; logs.Len() != want {
			t.Fatalf("after %d of 100: %d lines, want %d", used, logs.Len(), want)
		}
	}
	if used, ok := descriptorsUsed(); !ok || used < 3 {
		t.Errorf("%d are used, %t", used, ok)
	}
}
