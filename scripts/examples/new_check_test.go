package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// copyOfRepository is a checkout that a test may write to.
func copyOfRepository(t *testing.T) string {
	t.Helper()
	to := filepath.Join(pluginDir(t), "copy")
	run(t, repository(t), "bash", "-c", `set -o pipefail; mkdir "$0" &&
		git ls-files -co --exclude-standard -z Makefile go.mod go.sum config docs/*.go docs/*.txt host lvs plugins proto scripts sdk |
		while IFS= read -r -d "" f; do [[ ! -e $f ]] || printf "%s\0" "$f"; done |
		xargs -0 cp -a --parents -t "$0"`, to)
	return to
}

// greeter is what the skeleton checks.
func greeter(t *testing.T, dir, service string) {
	t.Helper()
	h := newHost(t, dir, service)
	for _, c := range []checkCase{
		{"greets", nil, sdktest.Lines("220 ready"), "up", ""},
		{"rude", nil, sdktest.Lines("554 no"), "down l7-match", `greeting "554 no"`},
		{"option", sdk.Options{"greeting": "554"}, sdktest.Lines("554 no"), "up", ""},
		{"refused", nil, nil, "down l4-refused", "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}

// A new check in the repository builds with everything else and keeps the rules, as it is.
func TestNewCheckInside(t *testing.T) {
	copied := copyOfRepository(t)
	t.Setenv("GOFLAGS", "-trimpath") // what was compiled in another directory is as good
	out := run(t, copied, "make", "-s", "new-check", "NAME=greets-2")
	if !strings.Contains(out, "go test ./plugins/greets-2") {
		t.Errorf("does not say how to go on:\n%s", out)
	}
	run(t, copied, "go", "vet", "./plugins/greets-2")
	run(t, copied, "go", "test", "./plugins/greets-2")
	if bad := run(t, copied, "gofmt", "-l", "plugins/greets-2"); bad != "" {
		t.Errorf("not formatted: %s", bad)
	}
	run(t, copied, "rm", "-r", "plugins/http") // it takes long to build
	run(t, copied, "scripts/build", "bin")
	greeter(t, filepath.Join(copied, "bin/plugins"), "greets-2")
	readmeIsTrue(t, filepath.Join(copied, "plugins/greets-2/README.md"), filepath.Join(copied, "bin"))
	redis := filepath.Join(repository(t), "docs/examples/redis")
	run(t, redis, "go", "build", "-o", filepath.Join(copied, "bin/plugins/ldirectord-check-redis"), ".")
	readmeIsTrue(t, filepath.Join(redis, "README.md"), filepath.Join(copied, "bin"))
}

// And so does one in a repository of its own.
func TestNewCheckOutside(t *testing.T) {
	dir := filepath.Join(pluginDir(t), "mine")
	run(t, repository(t), "make", "-s", "new-check", "NAME=greets", "DIR="+dir, "MODULE=example.org/me/greets")
	if text := read(t, filepath.Join(dir, "go.mod")); !strings.Contains(text, "module example.org/me/greets\n") {
		t.Errorf("go.mod:\n%s", text)
	}
	run(t, dir, "make", "test")
	run(t, dir, "make", "install", "PLUGINDIR="+dir+"/plugins")
	if bad := run(t, dir, "gofmt", "-l", "."); bad != "" {
		t.Errorf("not formatted: %s", bad)
	}
	if left := run(t, dir, "git", "status", "--short", "--ignored"); !strings.Contains(left, "!! ldirectord-check-greets") {
		t.Errorf("the binary is not ignored:\n%s", left)
	}
	greeter(t, filepath.Join(dir, "plugins"), "greets")
}

// What cannot become a check is refused before anything is written.
func TestNewCheckRefuses(t *testing.T) {
	dir := pluginDir(t)
	for _, c := range []struct{ name, dir, says string }{
		{"", "", "which?"},
		{"Greets", "", "lower-case letter"},
		{"9p", "", "lower-case letter"},
		{"a/b", "", "lower-case letter"},
		{"../x", dir + "/x", "lower-case letter"},
		{strings.Repeat("x", 65), "", "64 at most"},
		{"http", "", "http is a service already: plugins/http"},
		{"https", "", "https is a service already: plugins/http/services"},
		{"connect", "", "built in"},
		{"imaps", dir + "/x", "imaps is a service already: plugins/imap/services"},
		{"external-lua", dir + "/x", "built in"},
		{"greets", dir, "is there already"},
	} {
		before := run(t, repository(t), "ls", "plugins")
		out := fails(t, repository(t), "make", "-s", "new-check", "NAME="+c.name, "DIR="+c.dir)
		if !strings.Contains(out, c.says) {
			t.Errorf("NAME=%s DIR=%s: says %s, want %s", c.name, c.dir, out, c.says)
		}
		if after := run(t, repository(t), "ls", "plugins"); after != before {
			t.Errorf("NAME=%s: plugins now has %s", c.name, after)
		}
	}
	if _, err := os.Stat(dir + "/x"); err == nil {
		t.Error("it wrote something all the same")
	}
}

// A name that the manual lists is refused.
func TestNewCheckKnowsTheManual(t *testing.T) {
	for _, name := range manualServices(t) {
		out := fails(t, repository(t), "make", "-s", "new-check", "NAME="+name, "DIR="+filepath.Join(t.TempDir(), "x"))
		if !strings.Contains(out, name+" is a service already") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// manualServices are those that the manual's entry of service lists.
func manualServices(t *testing.T) []string {
	t.Helper()
	text := strings.Join(strings.Fields(read(t, filepath.Join(repository(t), "docs/ldirectord.8.txt"))), " ")
	m := regexp.MustCompile(`negotiate checks. They are (.*?) \(no check`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the entry of service in the manual does not list the services")
	}
	return strings.FieldsFunc(strings.Replace(m[1], " and ", ", ", 1), func(r rune) bool { return r == ' ' || r == ',' })
}

// readmeIsTrue has the program in bin, with its plugins, read the example of a README.
func readmeIsTrue(t *testing.T, readme, bin string) {
	t.Helper()
	_, rest, _ := strings.Cut(read(t, readme), "```conf\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatalf("%s has no example", readme)
	}
	file := filepath.Join(t.TempDir(), "example.cf")
	write(t, file, example, 0o600)
	run(t, "", filepath.Join(bin, "ldirectord"), file, "configtest")
}
