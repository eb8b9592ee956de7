package lint

import (
	"go/ast"
)

// A file that one can read in a sitting, a function that fits two screens.
const (
	maxFileLines     = 500
	maxFunctionLines = 80
	// slack is how much shorter one may become before the table must follow.
	slack = 10
)

// longFiles and longFunctions are those above the limits, with the length that
// each must not exceed. The tables may only shrink.
var (
	longFiles     = map[string]int{}
	longFunctions = map[string]int{
		"internal/lease.TestKeeperAgainstAList": 97,
		"internal/watch.TestModel":              142,
	}
)

// filesAndFunctionsStayShort is a ratchet: what is too long today may not
// grow, and what has become shorter must stay so.
func filesAndFunctionsStayShort(m *module) problems {
	return lengthsAgainst(m, longFiles, longFunctions)
}

func lengthsAgainst(m *module, longFiles, longFunctions map[string]int) (p problems) {
	files, functions := map[string]int{}, map[string]int{}
	for _, f := range m.files {
		if f.generated {
			continue
		}
		files[f.path] = f.lines
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				name := f.dir + "." + functionName(fn)
				lines := m.fset.Position(fn.End()).Line - m.fset.Position(fn.Pos()).Line + 1
				functions[name] = max(functions[name], lines) // init may be there several times
			}
		}
	}
	p.checkLengths(files, longFiles, maxFileLines, "carry something with a name of its own out of it")
	p.checkLengths(functions, longFunctions, maxFunctionLines, "give its parts names of their own")
	return p
}

func (p *problems) checkLengths(lengths, known map[string]int, limit int, instead string) {
	for name, lines := range lengths {
		switch allowed, listed := known[name]; {
		case listed && lines > allowed:
			p.add("%s has %d lines and had %d, which was too many: %s", name, lines, allowed, instead)
		case listed && lines <= limit:
			p.add("%s has only %d lines now: take it out of the table", name, lines)
		case listed && lines < allowed-slack:
			p.add("%s has %d lines now: write that into the table in the place of %d", name, lines, allowed)
		case !listed && lines > limit:
			p.add("%s has %d lines, the limit is %d: %s", name, lines, limit, instead)
		}
	}
	for name := range known {
		if _, exists := lengths[name]; !exists {
			p.add("%s is gone: take it out of the table", name)
		}
	}
}

// functionName is Func, or Type.Method.
func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	typ := fn.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}
