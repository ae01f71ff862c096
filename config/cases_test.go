package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// TestCases reads every input of testdata/*.txtar and compares what comes out with the other
// files beside it: errors, warnings, dump, secrets (the dump with them) and json. A case
// without errors must parse; the last three are compared where they exist.
func TestCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d cases found: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { runCase(t, path) })
	}
}

func runCase(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	input := strings.NewReplacer("<BOM>", "\ufeff", "<CR>", "\r", "<NOEOL>\n", "", "<FF>", "\xff", "<ESC>", "\x1b").Replace(want["input"])
	c, err := fakeLoader().Parse(t.Context(), "web.cf", []byte(input))
	got := map[string]string{}
	var all *Errors
	switch {
	case errors.As(err, &all):
		got["errors"], got["warnings"] = problemLines(all.Problems), problemLines(all.Warnings)
	case err != nil:
		t.Fatal(err)
	default:
		got["warnings"] = problemLines(c.Warnings)
		var dump, secrets, json bytes.Buffer
		if err := errors.Join(c.Dump(&dump, DumpOptions{}), c.Dump(&secrets, DumpOptions{Secrets: true}), c.DumpJSON(&json, DumpOptions{})); err != nil {
			t.Fatal(err)
		}
		got["dump"], got["secrets"], got["json"] = dump.String(), secrets.String(), json.String()
		roundTrip(t, c, input)
	}
	if *update {
		rewrite(t, path, archive, got)
		return
	}
	for _, name := range []string{"errors", "warnings", "dump", "secrets", "json"} {
		_, wanted := want[name]
		if (wanted || name == "errors" || name == "warnings") && got[name] != want[name] {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got[name], want[name])
		}
	}
}

func problemLines(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// rewrite puts what came out into a case, as far as the case has a place for it.
func rewrite(t *testing.T, path string, a *txtar.Archive, got map[string]string) {
	out := &txtar.Archive{Comment: a.Comment}
	seen := map[string]bool{}
	for _, f := range a.Files {
		if text, ok := got[f.Name]; f.Name != "input" && (!ok || text == "") {
			continue
		} else if f.Name != "input" {
			f.Data = []byte(text)
		}
		seen[f.Name] = true
		out.Files = append(out.Files, f)
	}
	for _, name := range []string{"errors", "warnings"} {
		if !seen[name] && got[name] != "" {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// roundTrip tells whether a dump with secrets reads back to the same configuration.
func roundTrip(t *testing.T, c *Config, input string) {
	t.Helper()
	var first bytes.Buffer
	if err := c.Dump(&first, DumpOptions{Secrets: true}); err != nil {
		t.Fatalf("%v\n%s", err, input)
	}
	again, err := fakeLoader().Parse(t.Context(), c.File, first.Bytes())
	if err != nil {
		t.Fatalf("dump does not parse: %v\n%s\nof\n%s", err, first.String(), input)
	}
	if a, b := deep(c), deep(again); a != b {
		t.Fatalf("dump is another configuration:\n%s\n%s\n%s\nof\n%s", a, b, first.String(), input)
	}
}
