package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// differs ROW WHAT... declares a difference that is there on purpose, and what each program does, so that
// a change of either is noticed. ROW is a part of a row of docs/compatibility.md, which has the reason. WHAT is
//
//	same REFERENCE OURS          two files: the settled tables
//	run COMMAND REFERENCE OURS   two exit codes; COMMAND may be an option in place of configuration and command
//	alike FILE REFERENCE OURS    two files: what FILE is in the directory of each
func differs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: differs ROW same|run|alike ...")
	}
	what, wanted := args[1], args[len(args)-2:]
	if wanted[0] == wanted[1] {
		ts.Fatalf("this is no difference")
	}
	switch what {
	case "run":
		line := []string{"$CONFIG", args[2]}
		if strings.HasPrefix(args[2], "-") {
			line = line[1:]
		}
		if got := exitCodes(ts, line); strconv.Itoa(got[0]) != wanted[0] || strconv.Itoa(got[1]) != wanted[1] {
			ts.Fatalf("exit codes %v, want %v", got, wanted)
		}
		return
	case "same":
		want := [2]string{normal(ts.ReadFile(wanted[0])), normal(ts.ReadFile(wanted[1]))}
		settled(ts, settle, func(tables [2]string) bool { return normal(tables[0]) == want[0] && normal(tables[1]) == want[1] },
			fmt.Sprintf("of the reference:\n%s\nof ours:\n%s", want[0], want[1]))
	case "alike":
		want := [2]string{strings.TrimSpace(ts.ReadFile(wanted[0])), strings.TrimSpace(ts.ReadFile(wanted[1]))}
		wait(ts, false, func() (bool, string) {
			got := filesOf(ts, args[2], true)
			return got == want, fmt.Sprintf("%s: have %q, want %q", args[2], got, want)
		})
	default:
		ts.Fatalf("differs ... %s: no such command", what)
	}
}

// leastScenarios is how many there have to be.
const leastScenarios = 60

var declared = regexp.MustCompile(`(?m)^differs '([^']*)' `)

// TestScenarios holds the scenarios against the page of differences: each that one declares is a row there,
// with a reason or what is here instead.
func TestScenarios(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, folder := range []string{"reference", "reference/more"} {
		found, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < leastScenarios {
		t.Errorf("%d scenarios, want %d", len(files), leastScenarios)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(text), "\n-- ")
		if n := strings.Count(script, "\ndiffers"); n != len(declared.FindAllString(script, -1)) {
			t.Errorf("%s: a row is to stand in single quotes after differs", file)
		}
		for _, m := range declared.FindAllStringSubmatch(script, -1) {
			if n := rowsWith(string(page), m[1]); n != 1 {
				t.Errorf("%s: %d rows of docs/compatibility.md have %q, want one", file, n, m[1])
			}
		}
	}
}

func rowsWith(page, text string) int {
	n := 0
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "|") && strings.Contains(line, text) {
			n++
		}
	}
	return n
}
