package docs

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/config"
)

// coverageRow is one row of manual-coverage.md: what the manual has, which files do it, which tests hold it.
type coverageRow struct{ what, files, tests string }

// coverage reads the tables of manual-coverage.md by the heading above them.
func coverage(t *testing.T) map[string][]coverageRow {
	t.Helper()
	text, err := os.ReadFile("manual-coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]coverageRow{}
	heading := ""
	for line := range strings.Lines(string(text)) {
		if h, ok := strings.CutPrefix(line, "## "); ok {
			heading = strings.TrimSpace(h)
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(line, "|---") || strings.Contains(line, "| implemented in |") {
			continue
		}
		out[heading] = append(out[heading], coverageRow{strings.TrimSpace(strings.ReplaceAll(cells[0], "`", "")), cells[1], cells[2]})
	}
	return out
}

// TestCoverageIsWhole has a row for each directive, command, flag, check type and service.
func TestCoverageIsWhole(t *testing.T) {
	args := filepath.Join(root, "host", "cmd", "ldirectord")
	want := map[string][]string{
		"Directives":  append(config.Directives(), "option.NAME"),
		"Commands":    append(stringsOf(t, filepath.Join(args, "args.go"), "oldCommands"), stringsOf(t, filepath.Join(args, "args.go"), "newCommands")...),
		"Options":     flagsOf(t, args),
		"Services":    append(stringsOf(t, filepath.Join(args, "plugins.go"), "shipped"), "none"),
		"Check types": checkTypes(),
	}
	have := coverage(t)
	for heading, names := range want {
		var listed []string
		for _, r := range have[heading] {
			name, _, _ := strings.Cut(r.what, " (")
			listed = append(listed, name)
		}
		slices.Sort(listed)
		slices.Sort(names)
		if names = slices.Compact(names); !slices.Equal(listed, names) {
			t.Errorf("%s: the page has\n%q\nthe program has\n%q", heading, listed, names)
		}
	}
	for _, heading := range []string{"Files", "Signals and exit codes", "Promises"} {
		if len(have[heading]) == 0 {
			t.Errorf("%s: no rows", heading)
		}
	}
}

// checkTypes are the words of checktype; Combined is N.
func checkTypes() []string {
	var out []string
	for c := config.Negotiate; c <= config.Combined; c++ {
		out = append(out, c.String())
	}
	return out
}

// flagsOf are the flags that the program's files define, as they are written: --dump.
func flagsOf(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	defined := regexp.MustCompile(`(?:flags|set)\.\w*(?:Bool|String|Int|StringArray|StringSlice)Var(?:P)?\(&[\w.]+, "([a-z-]+)"`)
	names := map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range defined.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "question" { // the long name that -? must have
				names["--"+m[1]] = true
			}
		}
	}
	if len(names) < 12 {
		t.Fatalf("only %d flags found", len(names))
	}
	return slices.Collect(maps.Keys(names))
}

// TestCoverageIsTrue looks whether every file and every test that is named exists, and mentions what it holds. A row
// whose first column has a word in parentheses is looked for by that word.
func TestCoverageIsTrue(t *testing.T) {
	for heading, rows := range coverage(t) {
		for _, r := range rows {
			if strings.TrimSpace(r.files) == "" || strings.TrimSpace(r.tests) == "" {
				t.Errorf("%s: %s: an empty column", heading, r.what)
			}
			for file := range strings.SplitSeq(r.files, ",") {
				if _, err := os.Stat(filepath.Join(root, strings.Trim(file, " `"))); err != nil {
					t.Errorf("%s: %s: %v", heading, r.what, err)
				}
			}
			for test := range strings.SplitSeq(r.tests, ",") {
				if problem := holds(r.what, strings.Trim(test, " `")); problem != "" {
					t.Errorf("%s: %s: %s", heading, r.what, problem)
				}
			}
		}
	}
}

// holds returns what is wrong with a test, "FILE" or "FILE FUNCTION", that is said to hold something.
func holds(what, test string) string {
	path, function, isGo := strings.Cut(test, " ")
	text, err := os.ReadFile(filepath.Join(root, path))
	switch {
	case err != nil:
		return err.Error()
	case strings.HasSuffix(path, "_test.go") != isGo:
		return test + ": a test of Go is FILE FUNCTION, a story FILE"
	case isGo && !regexp.MustCompile(`(?m)^func `+regexp.QuoteMeta(function)+`\(`).Match(text):
		return path + " has no " + function
	}
	word := what
	if m := regexp.MustCompile(`\(([^)]+)\)`).FindStringSubmatch(what); m != nil {
		word = m[1]
	}
	word = strings.TrimSuffix(word, "NAME")
	before, after := `(?:^|[^a-z0-9_-])`, `(?:[^a-z0-9_-]|$)`
	if strings.HasPrefix(word, ".") {
		before = ""
	}
	if strings.HasSuffix(word, ".") {
		after = ""
	}
	// A test of a plugin need not say its name: the folder does.
	if !regexp.MustCompile(`(?m)` + before + regexp.QuoteMeta(word) + after).MatchString(path + "\n" + string(text)) {
		return path + " does not mention " + word
	}
	return ""
}

// TestCoverageFails shows that the page is looked at.
func TestCoverageFails(t *testing.T) {
	for what, test := range map[string]string{
		"quiescent": "scripts/e2e/testdata/nowhere.txtar",
		"fallback":  "docs/coverage_test.go TestNowhere",
		"virtual6":  "scripts/e2e/testdata/adopt.txtar",
		"callback":  "docs/coverage_test.go",
	} {
		if holds(what, test) == "" {
			t.Errorf("%s is held by %s", what, test)
		}
	}
}
