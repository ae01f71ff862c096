package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDecisionsArePure holds host/state and lvs to what their imports cannot show: no clock and no
// goroutine.
func TestDecisionsArePure(t *testing.T) {
	files := 0
	for _, folder := range []string{"host/state", "lvs"} {
		paths, err := filepath.Glob(filepath.Join("..", "..", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			files++
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range impureIn(path, text) {
				t.Error(problem)
			}
		}
	}
	if files < 10 {
		t.Errorf("looked at %d files only", files)
	}
}

// impureIn names the places of a file where the answer could depend on anything but the arguments.
func impureIn(path string, text []byte) []string {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			problems = append(problems, set.Position(n.Pos()).String()+": starts a goroutine")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Since" || n.Sel.Name == "Until") {
				problems = append(problems, set.Position(n.Pos()).String()+": reads the clock")
			}
		}
		return true
	})
	return problems
}

func TestImpurityIsSeen(t *testing.T) {
	if got := impureIn("x.go", []byte("package x\nfunc f() {\n\tgo f()\n\t_ = time.Now()\n}\n")); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}
