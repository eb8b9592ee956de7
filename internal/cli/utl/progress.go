package utl

import (
	"io"
	"os"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"bowline/internal/exchange"
)

// progress is a bar on standard error, if that is a terminal: one for each step of
// the work.
type progress struct {
	w    io.Writer
	step string
	bar  *pb.ProgressBar
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	return &progress{w: w}
}

// tell takes note of how far a step has come.
func (p *progress) tell(at exchange.Progress) {
	if p.w == nil {
		return
	}
	if at.Step != p.step {
		p.finish()
		p.step = at.Step
		p.bar = pb.New64(at.Total).Set("prefix", at.Step+" ").SetWriter(p.w).Start()
	}
	p.bar.SetTotal(at.Total).SetCurrent(at.Done)
}

func (p *progress) finish() {
	if p.bar != nil {
		p.bar.Finish()
		p.bar = nil
	}
}
