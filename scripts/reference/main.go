// Command reference writes docs/check-reference.md: what authors of checks may use, taken from
// the code and its comments. Run it in the root of the repository: go run ./scripts/reference
package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// page is where the reference stands.
const page = "docs/check-reference.md"

func main() {
	text, err := generate(".")
	if err == nil {
		err = os.WriteFile(page, []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

const head = `# Reference for authors of checks

Made from the code by ` + "`go run ./scripts/reference`" + `; changes belong there. [Write a check](write-a-check.md) is the
way in.

`

// generate is the whole page for the repository at root.
func generate(root string) (string, error) {
	var b strings.Builder
	b.WriteString(head)
	sdk, err := load(filepath.Join(root, "sdk"))
	if err != nil {
		return "", err
	}
	options := function(sdk, "Decode")
	if options == nil {
		return "", fmt.Errorf("package sdk has no Decode")
	}
	fmt.Fprintf(&b, "## Options\n\n%s\n", sdk.Markdown(options.Doc))
	if err := codes(&b, sdk); err != nil {
		return "", err
	}
	rules(&b)
	for _, p := range []struct{ folder, title string }{
		{"sdk", "Package sdk"}, {"sdk/probe", "Package sdk/probe"}, {"sdk/serve", "Package sdk/serve"}, {"sdk/sdktest", "Package sdk/sdktest"},
	} {
		pkg, err := load(filepath.Join(root, p.folder))
		if err != nil {
			return "", err
		}
		names(&b, p.title, pkg)
	}
	proto, err := os.ReadFile(filepath.Join(root, "proto/check/v1/check.proto"))
	if err != nil {
		return "", err
	}
	protocol(&b, string(proto))
	return regexp.MustCompile(`\n{3,}`).ReplaceAllString(strings.TrimRight(b.String(), "\n")+"\n", "\n\n"), nil
}

// library is a package with its documentation.
type library struct {
	*doc.Package
}

// Markdown is a comment in Markdown.
func (l library) Markdown(comment string) string {
	p := l.Printer()
	p.HeadingLevel = 3
	return string(p.Markdown(l.Parser().Parse(comment)))
}

// load reads a package without its tests.
func load(folder string) (library, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return library{}, err
	}
	set := token.NewFileSet()
	var parsed []*ast.File
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return library{}, err
		}
		parsed = append(parsed, f)
	}
	pkg, err := doc.NewFromFiles(set, parsed, "github.com/ldirectord/ldirectord/"+filepath.ToSlash(folder))
	return library{pkg}, err
}

func function(l library, name string) *doc.Func {
	for _, f := range l.Funcs {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// codes lists the constants of type Code.
func codes(b *strings.Builder, sdk library) error {
	b.WriteString("## Codes\n\nThe layer at which a probe ended. A check may have others of its own, in lower case, " +
		"that begin with their layer, such as `l7-role`.\n\n| constant | code | says |\n|---|---|---|\n")
	for _, t := range sdk.Types {
		if t.Name != "Code" {
			continue
		}
		for _, group := range t.Consts {
			for _, spec := range group.Decl.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok || len(v.Values) != 1 {
					return fmt.Errorf("unexpected constant among the codes")
				}
				value, ok := v.Values[0].(*ast.BasicLit)
				if !ok {
					return fmt.Errorf("code %s is no literal", v.Names[0])
				}
				code, err := strconv.Unquote(value.Value)
				if err != nil {
					return err
				}
				fmt.Fprintf(b, "| `sdk.%s` | %s | %s |\n", v.Names[0], quoted(code), cell(v.Comment.Text()))
			}
		}
		b.WriteString("\n")
		return nil
	}
	return fmt.Errorf("package sdk has no Code")
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// rules lists the conformance suite.
func rules(b *strings.Builder) {
	b.WriteString("## Rules\n\n`sdktest.Run` tries them on every check.\n\n| rule | because |\n|---|---|\n")
	for _, r := range sdktest.Rules() {
		fmt.Fprintf(b, "| `%s` | %s |\n", r.Name, cell(r.Why))
	}
	b.WriteString("\n")
}

// names lists what a package exports; `go doc` tells more of each.
func names(b *strings.Builder, title string, l library) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n| name | is |\n|---|---|\n", title, cell(l.Synopsis(l.Doc)))
	row := func(name, text string) {
		fmt.Fprintf(b, "| `%s` | %s |\n", name, cell(l.Synopsis(text)))
	}
	for _, f := range l.Funcs {
		row(f.Name, f.Doc)
	}
	for _, t := range l.Types {
		row(t.Name, t.Doc)
		for _, f := range append(t.Funcs, t.Methods...) {
			if f.Recv != "" {
				row(t.Name+"."+f.Name, f.Doc)
				continue
			}
			row(f.Name, f.Doc)
		}
	}
	b.WriteString("\n")
}

// protocol turns the comments of the protocol's file into tables.
func protocol(b *strings.Builder, text string) {
	b.WriteString("## Protocol\n\n")
	comment, tables := "", false
	start := regexp.MustCompile(`^(service|message|enum) (\w+) \{`)
	member := regexp.MustCompile(`^  (?:rpc (\w+\(.*\) returns \(.*\));|((?:(?:repeated |optional )?[\w<>, .]+ )?)(\w+) = (\d+);)`)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		note, isNote := strings.CutPrefix(strings.TrimSpace(line), "//")
		switch {
		case isNote:
			comment += strings.TrimPrefix(note, " ") + "\n"
			continue
		case strings.HasPrefix(line, "syntax"):
			b.WriteString(comment + "\n")
		case start.MatchString(line):
			m := start.FindStringSubmatch(line)
			fmt.Fprintf(b, "### %s %s\n\n%s\n", m[1], m[2], comment)
			tables = false
		case member.MatchString(line):
			if !tables {
				b.WriteString("| | number | |\n|---|---|---|\n")
				tables = true
			}
			m := member.FindStringSubmatch(line)
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", m[1]+m[2]+m[3], m[4], cell(comment))
		case line == "}":
			b.WriteString("\n")
		}
		comment = ""
	}
}

// cell is text fit for one cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}
