// Command services writes docs/services.md: every service that can be checked and its options, as the plugins
// and the checks inside the daemon describe themselves. Run it in the root of the repository: go run ./scripts/services
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/builtin"
	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/host/script"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
)

// page is where the list stands.
const page = "docs/services.md"

// describeLimit bounds one question to one plugin.
const describeLimit = 30 * time.Second

func main() {
	text, err := generate(context.Background(), ".")
	if err == nil {
		err = os.WriteFile(page, []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

// described is one check that lives in this repository.
type described struct {
	sdk.Info
	folder string // below plugins/; empty: it is inside the daemon
}

// generate is the whole page for the repository at root.
func generate(ctx context.Context, root string) (string, error) {
	plugins, err := plugins(ctx, root)
	if err != nil {
		return "", err
	}
	inside, err := inside(ctx)
	if err != nil {
		return "", err
	}
	return write(plugins, inside), nil
}

// plugins builds and asks every plugin: one in each folder that has the file services.
func plugins(ctx context.Context, root string) ([]described, error) {
	files, err := filepath.Glob(filepath.Join(root, "plugins", "*", "services"))
	if err != nil {
		return nil, err
	}
	bin, err := os.MkdirTemp("", "services")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(bin)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", bin+"/") // as scripts/build
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	for _, f := range files {
		build.Args = append(build.Args, "./plugins/"+filepath.Base(filepath.Dir(f)))
	}
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the plugins: %w\n%s", err, out)
	}
	var all []described
	for _, f := range files {
		folder := filepath.Base(filepath.Dir(f))
		info, err := ask(ctx, filepath.Join(bin, folder))
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		if err := sameServices(info, strings.Fields(string(text))); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		all = append(all, described{info, folder})
	}
	return all, nil
}

func ask(ctx context.Context, path string) (sdk.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	c, err := client.OpenPath(ctx, path)
	if err != nil {
		return sdk.Info{}, err
	}
	defer c.Close()
	return c.Describe(ctx)
}

// sameServices compares a description with the file services, after which the build makes links.
func sameServices(info sdk.Info, listed []string) error {
	var says []string
	for _, s := range info.Services {
		says = append(says, s.Name)
	}
	slices.Sort(says)
	slices.Sort(listed)
	if !slices.Equal(says, listed) {
		return fmt.Errorf("it lists %q, the plugin serves %q", listed, says)
	}
	return nil
}

// inside asks the check types that need no plugin.
func inside(ctx context.Context) ([]described, error) {
	infos, err := script.Infos(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range []sdk.Checker{builtin.Connect(), builtin.NewPinger().Checker(), lua.New(lua.Options{})} {
		info, err := c.Describe(ctx)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	var all []described
	for _, info := range infos {
		all = append(all, described{Info: info})
	}
	slices.SortFunc(all, func(a, b described) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

const head = `# Services and their options

Made from the checks' own descriptions by ` + "`go run ./scripts/services`" + `; changes belong there. What is installed on a machine,
checks of third parties included, ` + "`ldirectord plugins --options`" + ` lists.

`

func write(plugins, inside []described) string {
	var b strings.Builder
	b.WriteString(head + "| service | port | network | IPv6 | check |\n|---|---|---|---|---|\n")
	rows := map[string]string{}
	for _, d := range plugins {
		for _, s := range d.Services {
			rows[s.Name] = fmt.Sprintf("| `%s` | %s | %s | %s | [%s](#%s) |\n", s.Name, port(s.Port), s.Network, yesNo(d.IPv6), d.Name, d.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString(rows[name])
	}
	b.WriteString("\nThe network is that of a section with a firewall mark; elsewhere it is the section's protocol, if the check can speak it.\n")
	for _, d := range plugins {
		var names []string
		for _, s := range d.Services {
			names = append(names, "`"+s.Name+"`")
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s Services: %s. [More](../plugins/%s/README.md).\n\n", d.Name, sentence(d.Summary), strings.Join(names, ", "), d.folder)
		options(&b, d.Options)
	}
	b.WriteString("\n## Check types\n\nThese are not services but values of `checktype`, and run inside the daemon.\n")
	for _, d := range inside {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", d.Name, sentence(d.Summary))
		options(&b, d.Options)
	}
	return b.String()
}

// options writes a table. Those that are directives of the manual are written as such, all others as
// option.NAME.
func options(b *strings.Builder, all []sdk.Option) {
	if len(all) == 0 {
		b.WriteString("It describes no options.\n")
		return
	}
	directives := config.Directives()
	b.WriteString("| option | type | default | | |\n|---|---|---|---|---|\n")
	for _, o := range all {
		name := o.Name
		if !slices.Contains(directives, name) {
			name = "option." + name
		}
		var remarks []string
		if o.Required {
			remarks = append(remarks, "required")
		}
		if o.Secret {
			remarks = append(remarks, "secret")
		}
		def := ""
		if o.Default != "" {
			def = "`" + cell(o.Default) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", name, cell(o.Type), def, strings.Join(remarks, ", "), cell(o.Help))
	}
}

func port(n uint16) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(int(n))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// sentence is a summary as a text has it; empty without one.
func sentence(s string) string {
	s = cell(s)
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// cell is text for a table: in one line, its marks taken literally.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(strings.Join(strings.Fields(s), " "))
}
