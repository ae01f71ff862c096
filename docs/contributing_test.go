package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ldirectord/ldirectord"

func contributing(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// part returns what stands under a heading.
func part(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("CONTRIBUTING.md has no part %q", heading)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

// firstCells returns what stands in backquotes in the first column of a table.
func firstCells(table string) []string {
	var out []string
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[2:], " |")
		for name := range strings.SplitSeq(cell, ", ") {
			out = append(out, strings.Trim(name, "`"))
		}
	}
	return out
}

// listed is what `go list` says of the project's packages.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestEveryPackageIsInTheHouse(t *testing.T) {
	rows := firstCells(part(t, contributing(t), "The house"))
	known := func(folder string) bool {
		return slices.ContainsFunc(rows, func(row string) bool {
			tree, all := strings.CutSuffix(row, "...")
			return row == folder || all && strings.HasPrefix(folder+"/", tree)
		})
	}
	for _, p := range packages(t) {
		if folder := strings.TrimPrefix(p.ImportPath, module+"/"); !known(folder) {
			t.Errorf("package %s is missing from the table of the house", folder)
		}
	}
	for _, row := range rows {
		if _, err := os.Stat(filepath.Join(root, strings.TrimSuffix(row, "..."))); err != nil {
			t.Errorf("the table of the house has %s, which is not there", row)
		}
	}
}

func TestEveryDependencyHasAReason(t *testing.T) {
	rows := firstCells(part(t, contributing(t), "Dependencies"))
	used := map[string]bool{}
	for _, p := range packages(t) {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			first, _, _ := strings.Cut(path, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(path, module) {
				continue
			}
			at := slices.IndexFunc(rows, func(row string) bool { return strings.HasPrefix(path+"/", row+"/") })
			if at < 0 {
				t.Errorf("%s imports %s, and the table of dependencies has no reason for it", p.ImportPath, path)
				continue
			}
			used[rows[at]] = true
		}
	}
	for _, row := range rows {
		if !used[row] {
			t.Errorf("the table of dependencies has %s, which nothing imports", row)
		}
	}
}

// TestExampleCheck compiles the check that CONTRIBUTING.md shows, and runs its test.
func TestExampleCheck(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(contributing(t), -1)
	if len(blocks) != 2 {
		t.Fatalf("CONTRIBUTING.md has %d pieces of Go, want a check and its test", len(blocks))
	}
	folder, err := filepath.Abs(filepath.Join(root, "plugins", "banner"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for i, name := range []string{"main.go", "main_test.go"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(blocks[i][1]), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(folder, name)] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	// Compiled, then run: the folder of the overlay does not exist, so nothing can run in it.
	program := filepath.Join(dir, "banner.test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-o", program, "-overlay", filepath.Join(dir, "overlay.json"), "./plugins/banner")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the example of CONTRIBUTING.md: %v\n%s", err, out)
	}
	run := exec.Command(program)
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("the example of CONTRIBUTING.md: %v\n%s", err, out)
	}
}
