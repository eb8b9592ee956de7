package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"bowline/internal/testkit"
)

// source is one Go file of the module.
type source struct {
	path      string // from the module's root, with slashes
	dir       string
	test      bool // its name ends in _test.go
	generated bool
	lines     int
	syntax    *ast.File
	imports   []string
}

// module is everything the rules look at.
type module struct {
	fset  *token.FileSet
	files []*source
	texts map[string][]byte // every file of the repository, by its path
}

// load reads the module once for all tests.
var load = sync.OnceValues(func() (*module, error) {
	root, err := testkit.Root()
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	err = filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == ".git" || name == "bin" || strings.HasSuffix(name, ".etcd") {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			texts[filepath.ToSlash(name)], err = os.ReadFile(full)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return newModule(texts)
})

// newModule parses the Go files among the texts.
func newModule(texts map[string][]byte) (*module, error) {
	m := &module{fset: token.NewFileSet(), texts: texts}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if path.Ext(name) != ".go" {
			continue
		}
		syntax, err := parser.ParseFile(m.fset, name, texts[name], parser.ParseComments)
		if err != nil {
			return nil, err
		}
		f := &source{
			path: name, dir: path.Dir(name), syntax: syntax,
			test:      strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(syntax),
			lines:     bytes.Count(texts[name], []byte("\n")),
		}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			f.imports = append(f.imports, imported)
		}
		m.files = append(m.files, f)
	}
	return m, nil
}

// at is where a node stands, for messages.
func (m *module) at(node ast.Node) string { return m.fset.Position(node.Pos()).String() }

// importName is the name that a file calls an imported package by, and nothing
// if the file does not import it.
func (f *source) importName(imported string) string {
	for _, spec := range f.syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != imported {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

// uses calls found for each mention of one of the names of an imported package.
func (f *source) uses(imported string, names []string, found func(call ast.Node, name string)) {
	local := f.importName(imported)
	if local == "" {
		return
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := selector.X.(*ast.Ident); !ok || id.Name != local || id.Obj != nil {
			return true
		}
		for _, name := range names {
			if selector.Sel.Name == name {
				found(selector, name)
			}
		}
		return true
	})
}

// modulePath is the first part of the import paths of our own packages.
const modulePath = "bowline/"
