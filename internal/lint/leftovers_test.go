package lint

import (
	"bytes"
	"go/ast"
	"go/format"
	"regexp"
)

// A word that marks what somebody meant to do later. They are put together here
// so that this file does not hold them.
var leftover = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// noLeftovers looks for notes about unfinished work, and for tests that are
// switched off. A test may leave itself out of a short run.
func noLeftovers(m *module) (p problems) {
	for _, f := range m.files {
		if f.generated {
			continue
		}
		for _, group := range f.syntax.Comments {
			for _, comment := range group.List {
				if word := leftover.FindString(comment.Text); word != "" {
					p.add("%s: %s: do it, or say in words what is not there and why", m.at(comment), word)
				}
			}
		}
		if f.test {
			p.skips(m, f)
		}
	}
	return p
}

func (p *problems) skips(m *module, f *source) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if condition, ok := n.(*ast.IfStmt); ok && mentionsShort(condition.Cond) {
			return false
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok && isTest(s.X) {
			switch s.Sel.Name {
			case "Skip", "Skipf", "SkipNow":
				p.add("%s: a test that skips itself is not there: let it fail, give it a build tag, or skip it under testing.Short() alone", m.at(call))
			}
		}
		return true
	})
}

// isTest tells whether an expression is a parameter of one of package testing's
// types; a step of a random history (pgregory.net/rapid) may leave itself out.
func isTest(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	if !ok || id.Obj == nil {
		return false
	}
	field, ok := id.Obj.Decl.(*ast.Field)
	if !ok {
		return false
	}
	typ := field.Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	s, ok := typ.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "testing"
}

func mentionsShort(e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Short" {
			found = true
		}
		return !found
	})
	return found
}

// everythingIsFormatted runs gofmt.
func everythingIsFormatted(m *module) (p problems) {
	for _, f := range m.files {
		formatted, err := format.Source(m.texts[f.path])
		if err != nil {
			p.add("%s: %v", f.path, err)
		} else if !bytes.Equal(formatted, m.texts[f.path]) {
			p.add("%s is not formatted: gofmt -w %s", f.path, f.path)
		}
	}
	return p
}
