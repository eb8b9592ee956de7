package testkit

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Program is a command of this module that several tests of a package use. It
// is built when the first of them asks for it.
//
// Building it in TestMain would hide its sources, and the variable that names
// another program, from go test's cache: what happens before m.Run is not seen.
type Program struct {
	// Name is the command's directory below cmd.
	Name string
	// Variable is the environment variable that may name another program.
	Variable string

	once sync.Once
	dir  string
	path string
	err  error
}

// Path is where the program is.
func (p *Program) Path(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		if instead := os.Getenv(p.Variable); instead != "" {
			p.path, p.err = filepath.Abs(instead)
			return
		}
		if p.dir, p.err = os.MkdirTemp("", "bowline-test-"); p.err == nil {
			p.path, p.err = Build(p.dir, p.Name)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.path
}

// Main runs the tests of a package that uses these programs, and removes what
// was built. It is the whole of a TestMain.
func Main(m *testing.M, programs ...*Program) {
	code := m.Run()
	for _, p := range programs {
		if p.dir != "" {
			os.RemoveAll(p.dir)
		}
	}
	os.Exit(code)
}
