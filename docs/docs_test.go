package docs

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ldirectord/ldirectord/config"
)

const root = ".."

// indents of the manual: headings of entries, their text, and lines of examples.
const (
	headingIndent = "       "
	textIndent    = "              "
	exampleIndent = "           "
)

// entries maps the directives that the manual has to the text of their entries. A text stands
// for all headings directly above it.
func entries(manual string) map[string]string {
	heading := regexp.MustCompile(`^ {7}([a-z][a-z0-9.]*|option\.NAME) = `)
	out := map[string]string{}
	var open []string
	text := false
	for line := range strings.Lines(manual) {
		line = strings.TrimRight(line, "\n")
		if m := heading.FindStringSubmatch(line); m != nil {
			if text {
				open, text = nil, false
			}
			open = append(open, m[1])
			out[m[1]] = ""
			continue
		}
		if line != "" && !strings.HasPrefix(line, textIndent) {
			open, text = nil, false
			continue
		}
		text = text || line != ""
		for _, name := range open {
			out[name] += strings.TrimSpace(line) + " "
		}
	}
	return out
}

func TestManualHasEveryDirective(t *testing.T) {
	have := entries(Manual)
	known := config.Directives()
	if len(known) < 50 {
		t.Fatalf("config knows %d directives only", len(known))
	}
	for _, name := range known {
		if strings.TrimSpace(have[name]) == "" {
			t.Errorf("directive %s has no entry with a text in the manual", name)
		}
	}
	for name := range have {
		if name != "option.NAME" && !slices.Contains(known, name) {
			t.Errorf("the manual describes %s, which is no directive", name)
		}
	}
}

// TestManualNamesServices compares the manual with the services that every installation has.
func TestManualNamesServices(t *testing.T) {
	shipped := stringsOf(t, filepath.Join(root, "host", "cmd", "ldirectord", "plugins.go"), "shipped")
	text, _, ok := strings.Cut(entries(Manual)["service"], " and none")
	_, text, has := strings.Cut(text, "They are")
	if !ok || !has {
		t.Fatal("the entry of service does not name them")
	}
	named := regexp.MustCompile(`[a-z_]+`).FindAllString(text, -1)
	slices.Sort(shipped)
	slices.Sort(named)
	if !slices.Equal(named, shipped) {
		t.Errorf("the manual names %q, the program has %q", named, shipped)
	}
}

// stringsOf reads the strings of a package variable that is a list of them.
func stringsOf(t *testing.T, path, variable string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || spec.Names[0].Name != variable {
			return true
		}
		ast.Inspect(spec.Values[0], func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, text)
			}
			return true
		})
		return false
	})
	if len(out) == 0 {
		t.Fatalf("%s has no list %s", path, variable)
	}
	return out
}

func TestManualFitsTheTerminal(t *testing.T) {
	for _, problem := range untidy(Manual) {
		t.Error(problem)
	}
	if got := untidy(strings.Repeat("x", 81) + "\ntab\there\nend \n"); len(got) != 3 {
		t.Errorf("three untidy lines yield %q", got)
	}
}

func untidy(text string) []string {
	var problems []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > 80 {
			problems = append(problems, fmt.Sprintf("line %d is longer than 80 columns: %s", n, line))
		}
		if strings.ContainsAny(line, "\t\r") || strings.HasSuffix(line, " ") {
			problems = append(problems, fmt.Sprintf("line %d has a tab or ends in a blank: %q", n, line))
		}
	}
	return problems
}

// example is a piece of configuration in a document.
type example struct {
	file string
	line int
	text string
}

// manualExamples are what follows a line that ends in "Example:", indented by 11.
func manualExamples(manual string) []example {
	var out []example
	lines := strings.Split(manual, "\n")
	for i := 0; i < len(lines); i++ {
		if !strings.HasSuffix(lines[i], "Example:") {
			continue
		}
		e := example{file: "ldirectord.8.txt", line: i + 1}
		for i+1 < len(lines) && (lines[i+1] == "" || strings.HasPrefix(lines[i+1], exampleIndent)) {
			i++
			e.text += strings.TrimPrefix(lines[i], exampleIndent) + "\n"
		}
		out = append(out, e)
	}
	return out
}

// fenced are the blocks of a Markdown file that say they are configurations (```conf).
func fenced(file, text string) []example {
	var out []example
	var open *example
	n := 0
	for line := range strings.Lines(text) {
		n++
		switch fence := strings.TrimSpace(line); {
		case open == nil && fence == "```conf":
			open = &example{file: file, line: n}
		case open != nil && fence == "```":
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	return out
}

// markdown lists the documents of the project, by path from its root.
func markdown(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && path != root
		if d.IsDir() && (hidden || d.Name() == "bin" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		out[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 5 {
		t.Fatalf("found %d Markdown files only", len(out))
	}
	return out
}

func TestExamplesAreConfigurations(t *testing.T) {
	all := manualExamples(Manual)
	if len(all) < 3 {
		t.Errorf("found %d examples in the manual only", len(all))
	}
	files := markdown(t)
	for name, text := range files {
		all = append(all, fenced(name, text)...)
	}
	if len(fenced("README.md", files["README.md"])) == 0 {
		t.Error("README.md has no configuration")
	}
	for _, e := range all {
		if err := parses(e.text); err != nil {
			t.Errorf("%s: example at line %d: %v", e.file, e.line, err)
		}
	}
	if parses("virtual = 192.0.2.1:80\n    reel = 10.0.0.1:80 gate\n") == nil {
		t.Error("an example with an unknown directive passes")
	}
}

func parses(text string) error {
	loader := config.Loader{
		OpenCatalog: func(string, string) config.Catalog { return everything{} },
		Resolver:    noNames{},
	}
	cfg, err := loader.Parse(context.Background(), "example.cf", []byte(text))
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		missing := w.Directive == "quiescent" || strings.Contains(w.Want, "is not a directory at present")
		if !missing {
			return fmt.Errorf("warning: %v", w)
		}
	}
	return nil
}

// everything is a catalog in which every service exists and likes its options.
type everything struct{}

func (everything) Services() []string { return nil }

func (everything) Lookup(service string) (config.ServiceInfo, error) {
	info := config.ServiceInfo{Port: 1, Network: "tcp", IPv6: true}
	for _, name := range []string{"request", "receive", "httpmethod", "virtualhost", "login", "passwd", "secret"} {
		info.Options = append(info.Options, config.OptionInfo{Name: name})
	}
	return info, nil
}

func (everything) Validate(string, map[string]string) error { return nil }

// noNames resolves no host: examples use addresses.
type noNames struct{}

func (noNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}

func (noNames) LookupPort(ctx context.Context, network, service string) (int, error) {
	return net.DefaultResolver.LookupPort(ctx, network, service)
}

// TestLinks follows the links between documents, and those to other files of the project.
func TestLinks(t *testing.T) {
	checked := 0
	for name, text := range markdown(t) {
		for _, target := range links(text) {
			checked++
			path := filepath.Join(root, filepath.Dir(name), target)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
			}
		}
	}
	if checked < 10 {
		t.Errorf("found %d links only", checked)
	}
	if got := links("[a](b.md#c) [d](https://e/f) [g](#h)"); !slices.Equal(got, []string{"b.md"}) {
		t.Errorf("links of a text: %q", got)
	}
}

// links are the targets of Markdown links inside of the project, without fragments.
func links(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target != "" && !strings.Contains(target, "://") {
			out = append(out, target)
		}
	}
	return out
}

// TestDocumentsAreLinked: what README.md does not lead to nobody finds.
func TestDocumentsAreLinked(t *testing.T) {
	files := markdown(t)
	linked := links(files["README.md"])
	for name := range files {
		inDocs, _ := filepath.Match("docs/*.md", name)
		ofCheck, _ := filepath.Match("plugins/*/README.md", name)
		if (inDocs || ofCheck) && !slices.Contains(linked, name) {
			t.Errorf("README.md does not link to %s", name)
		}
	}
}

// TestCommandsAreDocumented compares the page of `ldirectord help` with the manual, and its commands
// with docs/command-line.md.
func TestCommandsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "host", "cli", "help.go"))
	if err != nil {
		t.Fatal(err)
	}
	shell, err := os.ReadFile("command-line.md")
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`(?m)^  [a-z][a-z-]+|--[a-z][a-z-]+`).FindAllString(string(page), -1)
	if len(words) < 30 {
		t.Fatalf("the page of help names %q only", words)
	}
	for _, word := range words {
		word = strings.TrimSpace(word)
		if !strings.Contains(Manual, word) {
			t.Errorf("the manual does not have %s, which help has", word)
		}
		if !strings.HasPrefix(word, "-") && !strings.Contains(string(shell), "`"+word) {
			t.Errorf("docs/command-line.md does not have %s, which help has", word)
		}
	}
}
