package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/sdk/sdktest/rules"
	"github.com/ldirectord/ldirectord/sdk/sdktest/testdata/bad"
)

// TestMain makes this binary the plugins of package bad, by its own file name.
func TestMain(m *testing.M) {
	name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "ldirectord-check-")
	switch rule, isBad := strings.CutPrefix(name, "bad-"); {
	case isBad:
		bad.Main(rule)
	case ok:
		bad.Main("good")
	}
	os.Exit(m.Run())
}

// pluginFolder is a directory that plugins can be reached in, with this binary under some names.
func pluginFolder(t *testing.T, services ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plugins-command")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // they run as nobody when we are root
		t.Fatal(err)
	}
	for i, s := range services {
		path := filepath.Join(dir, "ldirectord-check-"+s)
		if i == 0 {
			err = os.WriteFile(path, program, 0o755)
		} else {
			err = os.Link(filepath.Join(dir, "ldirectord-check-"+services[0]), path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// command runs the program in process.
func command(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	a := &app{args: args, out: &o, err: &e}
	code = a.main()
	return code, o.String(), e.String()
}

func configNaming(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugins.cf")
	text := "plugindir = " + dir + "\nnonsense = 1\nvirtual = nowhere.example.com:80\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPluginsLists(t *testing.T) {
	first, second := pluginFolder(t, "banner"), pluginFolder(t, "banner", "other")
	write := func(dir, service, text string, mode os.FileMode) {
		path := filepath.Join(dir, "ldirectord-check-"+service)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("LDIRECTORD_PLUGIN_PATH", second)
	file := configNaming(t, first)
	t.Run("usable", func(t *testing.T) {
		os.Remove(filepath.Join(second, "ldirectord-check-other"))
		code, out, errs := command(file, "plugins")
		if code != exitOK || errs != "" {
			t.Errorf("code %d: %s", code, errs)
		}
		for _, want := range []string{
			`(?m)^banner +7777/tcp +1\.0 +` + first + `/ldirectord-check-banner +reads a greeting$`,
			`(?m)^banner +- +- +` + second + `/ldirectord-check-banner +shadowed by ` + first,
		} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	})
	write(first, "dead", "#!/bin/sh\necho my last words >&2\n", 0o755)
	write(first, "open", "#!/bin/sh\ntouch "+filepath.Join(first, "executed")+"\n", 0o757)
	write(second, "plain", "text\n", 0o644)
	t.Run("faulty", func(t *testing.T) {
		code, out, _ := command(file, "plugins", "--json")
		var report cli.PluginReport
		if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitFailed {
			t.Fatalf("code %d, %v:\n%s", code, err, out)
		}
		got := map[string]cli.Plugin{}
		for _, p := range report.Plugins {
			got[p.Path] = p
		}
		banner := got[filepath.Join(first, "ldirectord-check-banner")]
		if len(banner.Options) != 5 || banner.Services[0].Port != 7777 || banner.Version != "1.0" || !banner.IPv6 || !banner.Usable() {
			t.Errorf("got %+v", banner)
		}
		for path, want := range map[string]string{
			filepath.Join(first, "ldirectord-check-dead"):   "my last words",
			filepath.Join(second, "ldirectord-check-plain"): "not executable",
		} {
			if !strings.Contains(got[path].Error, want) || strings.HasPrefix(got[path].Error, "plugin /") {
				t.Errorf("%s: %q, want %q", path, got[path].Error, want)
			}
		}
		if os.Geteuid() == 0 {
			open := got[filepath.Join(first, "ldirectord-check-open")]
			if !strings.Contains(open.Error, "writable by others") {
				t.Errorf("got %+v", open)
			}
			if _, err := os.Stat(filepath.Join(first, "executed")); err == nil {
				t.Error("what is refused was executed")
			}
		}
	})
	t.Run("arguments", func(t *testing.T) {
		if code, _, errs := command(file, "plugins", "--nothing"); code != exitUsage || !strings.Contains(errs, "plugins takes") {
			t.Errorf("code %d: %s", code, errs)
		}
		if code, _, errs := command("nowhere.cf", "plugins"); code != exitConfig || !strings.Contains(errs, "nowhere.cf") {
			t.Errorf("code %d: %s", code, errs)
		}
	})
}

// TestPluginsTest tries some of the bad plugins; package rules tries all of them in the same way.
func TestPluginsTest(t *testing.T) {
	rule := []string{"description", "missing-option", "offline", "deadline", "stdout", "by-hand", "host-gone"}
	names := []string{"banner"}
	for _, r := range rule {
		names = append(names, "bad-"+r)
	}
	dir := pluginFolder(t, names...)
	at, stop, err := rules.Lines("220 ready")(rules.Localhost())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	broken := regexp.MustCompile(`(?m)^BROKEN +(\S+) +(.+)$`)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command("plugins", "test", "--server", at.String(), filepath.Join(dir, "ldirectord-check-"+name))
			var got []string
			for _, m := range broken.FindAllStringSubmatch(out, -1) {
				got = append(got, "bad-"+m[1])
			}
			lines := strings.Count(out, "\n")
			if lines != len(rules.BinaryRules())+1 || errs != "" {
				t.Errorf("%d lines: %s%s", lines, out, errs)
			}
			switch {
			case name == "banner" && (code != exitOK || got != nil):
				t.Errorf("code %d:\n%s", code, out)
			case name != "banner" && (code != exitFailed || len(got) != 1 || got[0] != name):
				t.Errorf("code %d, broken %q:\n%s", code, got, out)
			}
		})
	}
}

func TestPluginsTestWithoutAServer(t *testing.T) {
	dir := pluginFolder(t, "banner")
	code, out, _ := command("plugins", "test", "-v", "--option", "role=primary", filepath.Join(dir, "ldirectord-check-banner"))
	if code != exitOK || !strings.Contains(out, "23 rules kept, 0 broken, 0 not tried") {
		t.Errorf("code %d:\n%s", code, out)
	}
}

func TestPluginsTestArguments(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "usage"},
		{"a b", exitUsage, "usage"},
		{"--option x FILE", exitUsage, "NAME=VALUE"},
		{"--server www:80 FILE", exitUsage, "want an address"},
		{"--nothing FILE", exitUsage, "unknown flag"},
		{"/nonexistent/plugin", exitFailed, "no such file"},
	} {
		code, out, errs := command(append([]string{"plugins", "test"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(out+errs, test.says) {
			t.Errorf("%q: code %d: %s%s", test.args, code, out, errs)
		}
	}
}

// The director must not carry a test framework around. (hashicorp/go-plugin has package testing for
// the tests of others.)
func TestNoTestFrameworkInside(t *testing.T) {
	const imports = `{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}`
	out, err := exec.Command("go", "list", "-deps", "-f", imports, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		who, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		if (what == "testing" || what == "net/http/httptest") && who != "github.com/hashicorp/go-plugin" {
			t.Errorf("%s links %s", who, what)
		}
	}
}
