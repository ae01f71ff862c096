package migrate

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/config"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// catalog is what docs/services.md says of the checks, which a test of its own compares with them.
type catalog map[string]config.ServiceInfo

var optionRow = regexp.MustCompile("^\\| `(?:option\\.)?([a-z-]+)` \\| (\\w+) \\| (?:`([^`]*)`)? *\\| ?([^|]*)\\|")

func readCatalog(t *testing.T) catalog {
	t.Helper()
	text, err := os.ReadFile("../../docs/services.md")
	if err != nil {
		t.Fatal(err)
	}
	out := catalog{"external": {IPv6: true}, "external-perl": {IPv6: true}, "connect": {IPv6: true}, "ping": {IPv6: true}}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		_, list, ok := strings.Cut(part, " Services: ")
		if !ok {
			continue
		}
		list, _, _ = strings.Cut(list, ".")
		info := config.ServiceInfo{Network: "tcp", IPv6: true}
		for line := range strings.Lines(part) {
			if m := optionRow.FindStringSubmatch(line); m != nil {
				info.Options = append(info.Options, config.OptionInfo{Name: m[1], Default: m[3],
					Required: strings.Contains(m[4], "required"), Secret: strings.Contains(m[4], "secret")})
			}
		}
		for name := range strings.SplitSeq(list, ", ") {
			out[strings.Trim(name, "`")] = info
		}
	}
	if len(out) < 20 || len(out["https"].Options) < 5 {
		t.Fatalf("docs/services.md has %d services", len(out))
	}
	return out
}

func (c catalog) Services() []string { return nil }

func (c catalog) Lookup(service string) (config.ServiceInfo, error) {
	if info, ok := c[service]; ok {
		return info, nil
	}
	return config.ServiceInfo{}, config.ErrUnknownService
}

func (c catalog) Validate(service string, options map[string]string) error {
	for name := range options {
		if !slices.ContainsFunc(c[service].Options, func(o config.OptionInfo) bool { return o.Name == name }) {
			return fmt.Errorf("%s has no option %s", service, name)
		}
	}
	return nil
}

// resolver knows one host.
type resolver struct{}

func (resolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if host == "www" && network == "ip4" {
		return []netip.Addr{netip.MustParseAddr("192.0.2.10")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (resolver) LookupPort(context.Context, string, string) (int, error) {
	return 0, errors.New("no such service")
}

func parse(t *testing.T, c catalog, text string) *config.Config {
	t.Helper()
	l := config.Loader{OpenCatalog: func(string, string) config.Catalog { return c }, Resolver: resolver{}}
	cfg, err := l.Parse(t.Context(), "web.cf", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return cfg
}

// TestCases reads the file "config" of each testdata/*.txtar, and compares what is said of it with "text", and
// what pasting all that is to paste changes in the configuration in force with "effect".
func TestCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 14 {
		t.Fatalf("%d cases: %v", len(paths), err)
	}
	c := readCatalog(t)
	tried := map[string]bool{}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			in := string(a.Files[0].Data)
			cfg := parse(t, c, in)
			all := Differences(cfg, a.Files[0].Data)
			var edits []Edit
			for _, d := range all {
				tried[d.Rule] = true
				edits = append(edits, d.Keep...)
				keeps(t, c, in, d)
			}
			got := []txtar.File{a.Files[0], {Name: "text", Data: []byte(Text("web.cf", all))}}
			if effect := diff(dump(t, cfg), dump(t, parse(t, c, apply(in, edits)))); effect != "" {
				got = append(got, txtar.File{Name: "effect", Data: []byte(effect)})
			}
			if *update {
				a.Files = got
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(txtar.Format(a)); string(txtar.Format(&txtar.Archive{Comment: a.Comment, Files: got})) != want {
				t.Errorf("got\n%s\nwant\n%s", txtar.Format(&txtar.Archive{Files: got}), want)
			}
		})
	}
	for _, r := range rules(nil) {
		if !tried[r.name] {
			t.Errorf("no case for rule %s", r.name)
		}
	}
}

// keeps tries what is to be pasted for one difference: it is gone then, and something else holds, or the
// same in other words.
func keeps(t *testing.T, c catalog, in string, d Difference) {
	t.Helper()
	if d.Keep == nil {
		return
	}
	before := parse(t, c, in)
	after := parse(t, c, apply(in, d.Keep))
	count := func(cfg *config.Config, text string) (n int) {
		for _, o := range Differences(cfg, []byte(text)) {
			if o.Rule == d.Rule {
				n++
			}
		}
		return n
	}
	if count(after, apply(in, d.Keep)) >= count(before, in) {
		t.Errorf("%s line %d: still differs after pasting\n%s", d.Rule, d.Pos.Line, apply(in, d.Keep))
	}
	if changed := diff(dump(t, before), dump(t, after)); d.Rule == refused && changed != "" {
		t.Errorf("%s line %d: pasting changes\n%s", d.Rule, d.Pos.Line, changed)
	} else if d.Rule != refused && changed == "" {
		t.Errorf("%s line %d: nothing changes by pasting\n%s", d.Rule, d.Pos.Line, apply(in, d.Keep))
	}
}

// apply writes edits into a configuration.
func apply(text string, edits []Edit) string {
	lines := strings.SplitAfter(text, "\n")
	instead, below, top := map[int]string{}, map[int]string{}, ""
	for _, e := range edits {
		switch {
		case e.Place == Top:
			top += e.Text + "\n"
		case e.Place == Instead:
			instead[e.Line] = e.Text + "\n"
		case !strings.Contains(below[e.Line], e.Text+"\n"):
			below[e.Line] += e.Text + "\n"
		}
	}
	out := top
	for i, l := range lines {
		if other, ok := instead[i+1]; ok {
			l = other
		}
		out += l + below[i+1]
	}
	return out
}

// dump is the configuration in force, without where its lines come from.
func dump(t *testing.T, c *config.Config) []string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Dump(&b, config.DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(b.String()) {
		line, _, _ = strings.Cut(line, "# ")
		out = append(out, strings.TrimRight(line, " \n"))
	}
	return out
}

// diff lists the lines that only one of both has, of each section apart.
func diff(before, after []string) string {
	sections := func(lines []string) (out [][]string) {
		for _, l := range lines {
			if out == nil || strings.HasPrefix(l, "virtual") {
				out = append(out, nil)
			}
			if l != "" {
				out[len(out)-1] = append(out[len(out)-1], l)
			}
		}
		return out
	}
	one, other := sections(before), sections(after)
	var b strings.Builder
	for i := range min(len(one), len(other)) {
		for _, l := range one[i] {
			if !slices.Contains(other[i], l) {
				b.WriteString("- " + strings.TrimSpace(l) + "\n")
			}
		}
		for _, l := range other[i] {
			if !slices.Contains(one[i], l) {
				b.WriteString("+ " + strings.TrimSpace(l) + "\n")
			}
		}
	}
	return b.String()
}

// TestNothingSecretIsSaid has a configuration full of secrets, and looks for them.
func TestNothingSecretIsSaid(t *testing.T) {
	in := "virtual = 10.0.0.1:5060\n    real = 10.0.0.2:5060 masq\n    service = sip\n    passwd = \"s3cret\"\n" +
		"virtual = 10.0.0.1:80\n    real = 10.0.0.2:80 masq 1 \"http://u:s3cret@h/\", \"x\"\n    service = http\n    request = \"http://u:s3cret@h/\"\n" +
		"virtual = 10.0.0.1:81\n    real = 10.0.0.2:80 masq\n    checktype = external\n    checkcommand = \"/bin/ask http://u:s3cret@h/ x\"\n" +
		"virtual = 10.0.0.1:143\n  real = 10.0.0.2:143 masq 1 <u:5>\n  login = me\n  passwd = s3cret\n" +
		"virtual = 10.0.0.1:82\n  real = 10.0.0.2:80 masq\n  service = http\n  request = http://u:s3cret@h/\n"
	cfg := parse(t, readCatalog(t), in)
	all := Differences(cfg, []byte(in))
	if text := Text("web.cf", all); strings.Contains(text, "s3cret") || len(all) < 14 {
		t.Errorf("%d differences:\n%s", len(all), text)
	}
}

// TestEveryRowHasARule compares the tables of docs/compatibility.md with testdata/rows.txt, which says for
// each row that the Perl ldirectord did otherwise which rules show it in a file, or that no line can.
func TestEveryRowHasARule(t *testing.T) {
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("testdata/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"none": true}
	for _, r := range rules(nil) {
		known[r.name] = true
	}
	said := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		names, row, ok := strings.Cut(line, ": ")
		if !ok || said[row] {
			t.Errorf("rows.txt: %q has no rule, or stands there twice", line)
		}
		said[row] = true
		for name := range strings.FieldsSeq(names) {
			if !known[name] {
				t.Errorf("rows.txt: there is no rule %s", name)
			}
		}
	}
	rows := compared(string(page))
	for _, row := range rows {
		if !said[row] {
			t.Errorf("no rule for the row %q of docs/compatibility.md: name it in host/migrate/testdata/rows.txt", row)
		}
		delete(said, row)
	}
	for row := range said {
		t.Errorf("rows.txt has %q, which is no row of docs/compatibility.md", row)
	}
	if len(rows) < 40 {
		t.Errorf("%d rows found", len(rows))
	}
}

// compared returns the first columns of the tables that compare, or the second where something was added.
func compared(page string) []string {
	var out []string
	inside := false
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		switch {
		case !strings.HasPrefix(line, "|"):
			inside = false
		case strings.HasPrefix(line, "| the Perl ldirectord | here"):
			inside = true
		case inside && !strings.HasPrefix(line, "|---"):
			row := strings.TrimSpace(cells[0])
			if row == "" {
				row = strings.TrimSpace(cells[1])
			}
			out = append(out, row)
		}
	}
	return out
}
