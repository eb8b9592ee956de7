package lint

import (
	"bytes"
	"regexp"
	"strings"
)

// etcdModules are the modules of etcd that may be used: its public API and the
// client. The rest of etcd is what this project is.
var etcdModules = []string{"go.etcd.io/etcd/api/v3", "go.etcd.io/etcd/client/v3", "go.etcd.io/etcd/client/pkg/v3"}

func allowedOfEtcd(imported string) bool {
	for _, m := range etcdModules {
		if within(imported, m) {
			return true
		}
	}
	return false
}

// nothingOfEtcdsServer looks at the imports and at go.mod.
func nothingOfEtcdsServer(m *module) (p problems) {
	for _, f := range m.files {
		for _, imported := range f.imports {
			old := strings.HasPrefix(imported, "github.com/coreos/etcd") || strings.HasPrefix(imported, "github.com/etcd-io/etcd")
			if old || within(imported, "go.etcd.io/etcd") && !allowedOfEtcd(imported) {
				p.add("%s imports %s: only %q may be used; write what is missing", f.path, imported, etcdModules)
			}
		}
	}
	for _, required := range regexp.MustCompile(`go\.etcd\.io/etcd[^\s]*`).FindAllString(string(m.texts["go.mod"]), -1) {
		if !allowedOfEtcd(required) {
			p.add("go.mod requires %s: only %q may be used", required, etcdModules)
		}
	}
	return p
}

// outside are beginnings of file names that only exist on the machine of whoever
// wrote them. They are put together here so that this file does not hold them.
var outside = []string{"/wo" + "rk/", "../sha" + "red"}

// noFileNamesFromOutside looks into every file of the repository.
func noFileNamesFromOutside(m *module) (p problems) {
	for name, text := range m.texts {
		for _, prefix := range outside {
			if at := bytes.Index(text, []byte(prefix)); at >= 0 {
				line := 1 + bytes.Count(text[:at], []byte("\n"))
				p.add("%s:%d names a file %s...: carry what is needed into the repository, or take its name from the environment", name, line, prefix)
			}
		}
	}
	return p
}
