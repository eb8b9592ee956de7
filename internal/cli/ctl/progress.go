package ctl

import "github.com/cheggaaa/pb/v3"

// progress is a bar on standard error, if that is a terminal.
type progress struct {
	bar *pb.ProgressBar
}

// newProgress starts a bar that counts bytes or pieces.
func (env *Env) newProgress(inBytes bool) progress {
	if _, ok := terminal(env.Err); !ok {
		return progress{}
	}
	bar := pb.New64(0).Set(pb.Bytes, inBytes).SetWriter(env.Err)
	return progress{bar.Start()}
}

func (p progress) set(done, total int64) {
	if p.bar != nil {
		p.bar.SetTotal(total).SetCurrent(done)
	}
}

func (p progress) finish() {
	if p.bar != nil {
		p.bar.Finish()
	}
}
