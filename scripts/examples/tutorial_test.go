package examples

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// step is one fenced block of a page.
type step struct {
	line int
	lang string
	text string
}

// steps are the fenced blocks of a page that have a language.
func steps(page string) (all []step) {
	open, n := false, 0
	for line := range strings.Lines(page) {
		n++
		lang, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			all, open = append(all, step{line: n, lang: strings.TrimSpace(lang)}), true
		case fence:
			open = false
		case open:
			all[len(all)-1].text += line
		}
	}
	return all
}

// TestTutorial does what docs/write-a-check.md says: writes its files, runs its commands one
// after the other in one shell, and compares what they print with what the page shows.
func TestTutorial(t *testing.T) {
	page := read(t, filepath.Join(repository(t), "docs/write-a-check.md"))
	home := pluginDir(t)
	sh := newShell(t, home)
	last, out := step{}, ""
	seen := map[string]int{}
	for _, s := range steps(page) {
		seen[s.lang]++
		switch s.lang {
		case "sh":
			out = sh.run(s)
		case "text":
			if err := sh.shows(last, out, s); err != nil {
				t.Fatal(err)
			}
		case "go", "conf":
			name, ok := fileName(s.text)
			if !ok {
				t.Fatalf("line %d: a file without its name", s.line)
			}
			write(t, filepath.Join(home, "clamd", name), s.text, 0o644)
			if bad := run(t, "", "gofmt", "-l", filepath.Join(home, "clamd")); bad != "" {
				t.Errorf("line %d: not formatted: %s", s.line, bad)
			}
		default:
			t.Errorf("line %d: a block in %q, which nobody looks at", s.line, s.lang)
		}
		last = s
	}
	if seen["sh"] < 10 || seen["go"] != 3 || seen["conf"] != 1 {
		t.Errorf("found blocks %v", seen)
	}
	installed := filepath.Join(home, "stage/usr/local/lib/ldirectord/plugins/ldirectord-check-clamd")
	if _, err := os.Stat(installed); err != nil {
		t.Error(err)
	}
}

// fileName is in a comment on the first line of a file.
func fileName(text string) (string, bool) {
	m := regexp.MustCompile(`^(?://|#) ([a-z_/]+\.(?:go|cf))\n`).FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// shell is a bash that runs block after block.
type shell struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	runs int
	kill func()
}

// newShell starts in a checkout. Where it may, it has a /run and a set of processes of its
// own, so that a daemon of the page meets no other one and ends with the test.
func newShell(t *testing.T, home string) *shell {
	t.Helper()
	command := []string{"bash", "--noprofile", "--norc"}
	private := []string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-c", `mount -t tmpfs -o mode=755 none /run && exec "$@"`, "sh"}
	if exec.Command(private[0], append(private[1:len(private):len(private)], "true")...).Run() == nil {
		command = append(private, command...)
	}
	env := strings.Split(strings.TrimSpace(run(t, "", "go", "env", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOPATH")), "\n")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = copyOfRepository(t)
	write(t, filepath.Join(home, "sudo/sudo"), "#!/bin/sh\nexport DESTDIR="+home+"/stage\nexec \"$@\"\n", 0o755)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+filepath.Join(home, "run"), "GOFLAGS=-trimpath",
		"GOCACHE="+env[0], "GOMODCACHE="+env[1], "GOPROXY="+env[2], "GOPATH="+env[3], "PATH="+home+"/sudo:"+os.Getenv("PATH"))
	write(t, filepath.Join(home, "run/.keep"), "", 0o600)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &shell{t: t, in: in, out: bufio.NewReader(out), kill: func() { _ = cmd.Process.Kill() }}
}

// run runs a block, each of whose commands must succeed, and gives back what it printed.
func (sh *shell) run(s step) string {
	sh.t.Helper()
	sh.runs++
	mark := fmt.Sprintf("=== end of run %d:", sh.runs)
	file := filepath.Join(sh.t.TempDir(), "block")
	write(sh.t, file, s.text, 0o600)
	// The block may change directory and environment, so it is no subshell; -e would end the shell.
	fmt.Fprintf(sh.in, "trap 'status=$?' ERR; status=0; . %s >%[1]s.out 2>&1 </dev/null; echo '%s' $status\n", file, mark)
	defer time.AfterFunc(2*time.Minute, sh.kill).Stop()
	line, err := sh.out.ReadString('\n')
	out := read(sh.t, file+".out")
	if err != nil || strings.TrimSpace(line) != mark+" 0" {
		sh.t.Fatalf("line %d: %s(%v)\n%s\n%s", s.line, line, err, s.text, out)
	}
	return out
}

// shows compares what a block printed with what the page shows. A status changes with time: it is
// asked again until it is what it should be.
func (sh *shell) shows(did step, out string, want step) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := matches(out, want.text)
		if err == nil {
			return nil
		}
		if !strings.HasSuffix(strings.TrimSpace(did.text), " status") || time.Now().After(deadline) {
			return fmt.Errorf("line %d: %w\n%s", want.line, err, out)
		}
		<-time.After(100 * time.Millisecond)
		out = sh.run(did)
	}
}

// matches says whether the shown lines are in out, in their order. Three dots stand for anything in
// a line, a shown line may be a part of one, and blanks are all the same.
func matches(out, shown string) error {
	left := strings.Split(out, "\n")
	for line := range strings.Lines(shown) {
		pattern := regexp.QuoteMeta(strings.Join(strings.Fields(line), " "))
		is := regexp.MustCompile(regexp.MustCompile(` ?\\.\\.\\. ?`).ReplaceAllLiteralString(pattern, `.*`))
		found := false
		for len(left) > 0 && !found {
			found = is.MatchString(strings.Join(strings.Fields(left[0]), " "))
			left = left[1:]
		}
		if !found {
			return fmt.Errorf("not printed: %s", strings.TrimSpace(line))
		}
	}
	return nil
}
