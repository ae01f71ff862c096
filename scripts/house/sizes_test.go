package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	maxFunction = 60  // lines
	maxFile     = 400 // lines
)

// long are functions that are one flat select or table and may have up to 80 lines, each
// with its reason.
var long = map[string]string{}

func TestSizes(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, problem := range tooLong(path, text) {
			t.Error(problem)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("looked at %d files only", files)
	}
}

// tooLong names what in a file has too many lines.
func tooLong(path string, text []byte) []string {
	var problems []string
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	if n := strings.Count(string(text), "\n"); n > maxFile {
		problems = append(problems, path+" is longer than 400 lines")
	}
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1
		limit := maxFunction
		if long[fn.Name.Name] != "" {
			limit = 80
		}
		if lines > limit {
			problems = append(problems, set.Position(fn.Pos()).String()+": "+fn.Name.Name+" is too long")
		}
	}
	return problems
}

// TestSizesFail shows that the rule can say no.
func TestSizesFail(t *testing.T) {
	body := strings.Repeat("\t_ = 0\n", 70)
	if len(tooLong("x.go", []byte("package x\nfunc f() {\n"+body+"}\n"))) != 1 {
		t.Error("a function of 72 lines passes")
	}
	if len(tooLong("x.go", []byte("package x\n"+strings.Repeat("// a\n", 401)))) != 1 {
		t.Error("a file of 402 lines passes")
	}
}
