package lint

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
)

// everyPackageHasAComment asks each package what it is for.
func everyPackageHasAComment(m *module) (p problems) {
	missing := map[string]string{} // directory: how its comment must begin
	for _, f := range m.files {
		if f.generated || strings.HasSuffix(f.syntax.Name.Name, "_test") {
			continue
		}
		begin := "Package " + f.syntax.Name.Name + " "
		if f.syntax.Name.Name == "main" {
			begin = "Command " + path.Base(f.dir) + " "
		}
		commented := f.syntax.Doc != nil && strings.HasPrefix(f.syntax.Doc.Text(), begin)
		switch _, seen := missing[f.dir]; {
		case commented:
			missing[f.dir] = ""
		case !seen:
			missing[f.dir] = begin
		}
	}
	for dir, begin := range missing {
		if begin != "" {
			p.add("%s: no file says %q: tell what the package owns and what it does not, best in a doc.go", dir, "// "+begin+"...")
		}
	}
	return p
}

// A name in backquotes: `pkg.Name` or `pkg.Type.Name`.
var quotedName = regexp.MustCompile("`([a-z][a-z0-9]*)\\.([A-Za-z]\\w*)(?:\\.([A-Za-z]\\w*))?`")

// architectureNamesWhatExists holds docs/ARCHITECTURE.md to the source: the
// names of our packages that it puts into backquotes are there.
func architectureNamesWhatExists(m *module) (p problems) {
	declared := m.declared()
	named := 0
	for i, line := range strings.Split(string(m.texts["docs/ARCHITECTURE.md"]), "\n") {
		for _, found := range quotedName.FindAllStringSubmatch(line, -1) {
			pkg, ours := declared[found[1]]
			if !ours {
				continue // a file, or a package that is not ours
			}
			named++
			name := found[2]
			if found[3] != "" {
				name += "." + found[3]
			}
			if !pkg[name] {
				p.add("docs/ARCHITECTURE.md:%d: there is no %s: write what has taken its place", i+1, found[0])
			}
		}
	}
	if named == 0 {
		p.add("docs/ARCHITECTURE.md names no function: tell the way of a request by the functions that it passes")
	}
	return p
}

// declared lists, for each package below internal, its functions, types, values,
// and methods and fields as Type.Name. A method that only one type has, may also
// be called by its name alone.
func (m *module) declared() map[string]map[string]bool {
	all := map[string]map[string]bool{}
	methods := map[string]map[string]int{} // package: method: types that have it
	for _, f := range m.files {
		pkg := f.syntax.Name.Name
		if f.test || !strings.HasPrefix(f.dir, "internal/") {
			continue
		}
		if all[pkg] == nil {
			all[pkg], methods[pkg] = map[string]bool{}, map[string]int{}
		}
		for _, decl := range f.syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				all[pkg][functionName(d)] = true
				if d.Recv != nil {
					methods[pkg][d.Name.Name]++
				}
			case *ast.GenDecl:
				declaredNames(d, all[pkg])
			}
		}
	}
	for pkg, counts := range methods {
		for name, types := range counts {
			if types == 1 {
				all[pkg][name] = true
			}
		}
	}
	return all
}

func declaredNames(d *ast.GenDecl, into map[string]bool) {
	if d.Tok == token.IMPORT {
		return
	}
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			for _, name := range s.Names {
				into[name.Name] = true
			}
		case *ast.TypeSpec:
			into[s.Name.Name] = true
			var members *ast.FieldList
			switch typ := s.Type.(type) {
			case *ast.StructType:
				members = typ.Fields
			case *ast.InterfaceType:
				members = typ.Methods
			default:
				continue
			}
			for _, member := range members.List {
				for _, name := range member.Names {
					into[s.Name.Name+"."+name.Name] = true
				}
			}
		}
	}
}
