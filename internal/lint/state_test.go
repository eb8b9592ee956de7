package lint

import (
	"go/ast"
	"go/token"
	"strings"
)

// globalsAllowed lists package variables that change, each with the reason.
var globalsAllowed = map[string]string{
	"internal/wire.chunkPool": "a pool: what it holds is never seen by two users",
}

// noMutablePackageVariables looks for package variables of product code that
// are changed after the start: two members in one process would share them. It
// sees assignments, and types whose only use is to change; it does not see what
// is changed through a pointer or a method.
func noMutablePackageVariables(m *module) (p problems) {
	report := func(dir, name string, at ast.Node, why string) {
		if globalsAllowed[dir+"."+name] == "" {
			p.add("%s: the package variable %s.%s %s: make it a field of what uses it, or of that part's config", m.at(at), dir, name, why)
		}
	}
	declared := map[string]map[string]ast.Node{} // directory: variable: where
	m.eachPackageVariable(func(f *source, name *ast.Ident, spec *ast.ValueSpec) {
		if declared[f.dir] == nil {
			declared[f.dir] = map[string]ast.Node{}
		}
		declared[f.dir][name.Name] = name
		if kind := changingType(f, spec); kind != "" {
			report(f.dir, name.Name, name, "is a "+kind)
		}
	})
	for _, f := range m.files {
		if f.test || f.generated {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			for _, changed := range assigned(n) {
				id := variableOf(changed)
				if id == nil {
					continue
				}
				where, known := declared[f.dir][id.Name]
				// The parser ties a name to its declaration within a file; a name that
				// is tied to nothing is declared in another file of the package.
				if known && (id.Obj == nil || id.Obj.Pos() == where.Pos()) {
					report(f.dir, id.Name, id, "is changed here")
				}
			}
			return true
		})
	}
	return p
}

// eachPackageVariable calls found with every package variable of product code.
func (m *module) eachPackageVariable(found func(f *source, name *ast.Ident, spec *ast.ValueSpec)) {
	for _, f := range m.files {
		if f.test || f.generated || strings.HasPrefix(f.dir, "tests/") {
			continue
		}
		for _, decl := range f.syntax.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, name := range spec.Names {
					if name.Name != "_" {
						found(f, name, spec)
					}
				}
			}
		}
	}
}

// changingType names the type of a variable that is made to change.
func changingType(f *source, spec *ast.ValueSpec) string {
	typ := spec.Type
	if typ == nil && len(spec.Values) == 1 {
		if lit, ok := spec.Values[0].(*ast.CompositeLit); ok {
			typ = lit.Type
		}
	}
	selector, ok := typ.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := selector.X.(*ast.Ident)
	if !ok {
		return ""
	}
	for _, imported := range []string{"sync", "sync/atomic"} {
		if pkg.Name == f.importName(imported) {
			return pkg.Name + "." + selector.Sel.Name
		}
	}
	return ""
}

// assigned lists the expressions that a statement changes.
func assigned(n ast.Node) []ast.Expr {
	switch s := n.(type) {
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE {
			return s.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{s.X}
	case *ast.RangeStmt:
		if s.Tok == token.ASSIGN {
			return []ast.Expr{s.Key, s.Value}
		}
	case *ast.CallExpr:
		if f, ok := s.Fun.(*ast.Ident); ok && f.Obj == nil && (f.Name == "delete" || f.Name == "clear") && len(s.Args) > 0 {
			return s.Args[:1]
		}
	}
	return nil
}

// variableOf is the variable that an expression like x.f[i] belongs to.
func variableOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}
