package phase

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestTimelineIsFoundThroughOtherContexts(t *testing.T) {
	type other struct{}
	ctx := context.WithValue(t.Context(), other{}, 7)
	line := Begin(ctx, time.Now())
	below, cancel := context.WithTimeout(context.WithValue(line, other{}, 8), time.Hour)
	defer cancel()
	if Of(line) != line || Of(below) != line {
		t.Error("a timeline is not found")
	}
	if Of(ctx) != nil {
		t.Error("a timeline is found above itself")
	}
	if line.Value(other{}) != 7 {
		t.Error("the context above is not asked")
	}
	Of(ctx).End("nothing", time.Now())
}

func TestTimelineKeepsABoundedNumberOfSteps(t *testing.T) {
	began := time.Now()
	line := Begin(t.Context(), began)
	for i := range 2 * most {
		line.End(fmt.Sprint(i), began.Add(time.Duration(i)))
	}
	steps := line.Steps()
	if len(steps) != most || steps[most-2].Name != fmt.Sprint(most-2) || steps[most-1].Name != fmt.Sprint(2*most-1) {
		t.Errorf("steps are %v", steps)
	}
}
