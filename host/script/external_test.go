package script

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target is a check of a tcp service.
func target() sdk.Target {
	return sdk.Target{
		Network: "tcp", Addr: netip.MustParseAddrPort("10.0.0.2:8080"), Virtual: netip.MustParseAddrPort("10.0.0.1:80"),
	}
}

// write makes a file of the test's, for everybody to read and run.
func write(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	for at := dir; strings.HasPrefix(at, os.TempDir()) && at != os.TempDir(); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, name)
	// A test that starts a program just now would hand it the open file, which could then not be run.
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte(text), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// within runs check once, with so much time, and fails when it takes longer than a runner waits.
func within(t *testing.T, c sdk.Checker, target sdk.Target, limit time.Duration, o sdk.Options) sdk.Verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	v := c.Probe(ctx, target, o)
	if took := time.Since(began); took > limit+600*time.Millisecond {
		t.Errorf("took %v of %v", took, limit)
	}
	return v
}

func newExternalChecker(t *testing.T) *externalChecker {
	c := &externalChecker{launcher: newLauncher()}
	t.Cleanup(func() { c.launcher.close(nil) })
	return c
}

func command(path string) sdk.Options { return sdk.Options{optionCommand: path} }

func TestExternalVerdicts(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	tests := []struct {
		script string
		status sdk.Status
		code   sdk.Code
		reason string
	}{
		{"#!/bin/sh\nexit 0", sdk.StatusUp, "", ""},
		{"#!/bin/sh\necho fine; exit 0", sdk.StatusUp, "", ""},
		{"#!/bin/sh\nexit 1", sdk.StatusDown, sdk.CodeStatus, "exit code 1"},
		{"#!/bin/sh\necho first; echo last >&2; echo; exit 7", sdk.StatusDown, sdk.CodeStatus, "exit code 7: last"},
		{"#!/bin/sh\nprintf 'a\\033[31mb'; exit 255", sdk.StatusDown, sdk.CodeStatus, `exit code 255: a\x1b[31mb`},
		{"#!/bin/sh\necho so; kill -9 $$", sdk.StatusDown, sdk.CodeStatus, "ended by a signal: killed: so"},
		{"#!/bin/sh\nhead -c 3000 /dev/zero | tr '\\0' x; exit 2", sdk.StatusDown, sdk.CodeStatus, "exit code 2: " + strings.Repeat("x", longest) + "..."},
		{"#!/bin/sh\nread line && exit 3; exit 0", sdk.StatusUp, "", ""},
		{"exit 4", sdk.StatusDown, sdk.CodeStatus, "exit code 4"}, // no #! line: the shell's
		{"", sdk.StatusUp, "", ""},
		{"#!/no/such/thing -x\nexit 0", sdk.StatusUnknown, sdk.CodeFault, "its interpreter /no/such/thing does not exist"},
		{"#!/bin/sh\r\nexit 0\r\n", sdk.StatusUnknown, sdk.CodeFault, "CR LF"},
	}
	for _, tt := range tests {
		v := within(t, c, target(), 5*time.Second, command(write(t, "check", tt.script)))
		if v.Status != tt.status || v.Code != tt.code || !strings.Contains(v.Reason, tt.reason) || (tt.reason == "" && v.Reason != "") {
			t.Errorf("%q: got %+v", tt.script, v)
		}
	}
}

func TestExternalThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	plain := write(t, "plain", "#!/bin/sh\n")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string]string{
		"/no/such/check":         "no such file",
		"no-such-check-anywhere": "in /usr/local/sbin:",
		plain:                    "is not executable",
		filepath.Dir(plain):      "is a directory",
		`"/bin/true`:             "is not closed",
		"":                       "names no program",
	} {
		v := within(t, c, target(), 5*time.Second, command(text))
		if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, says) {
			t.Errorf("%q: got %+v", text, v)
		}
	}
	if v := within(t, c, target(), time.Second, sdk.Options{optionCommand: "/bin/true", optionUser: "nobody-at-all"}); v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "nobody-at-all") {
		t.Errorf("unknown user: %+v", v)
	}
}

func TestExternalArguments(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	path := write(t, "a check", "#!/bin/sh\nfor a; do printf '[%s]' \"$a\"; done; exit 1")
	bare := write(t, "check", "#!/bin/sh\nfor a; do printf '[%s]' \"$a\"; done; exit 1")
	v6 := target()
	v6.Addr, v6.Virtual = netip.MustParseAddrPort("[fd00::2]:8080"), netip.MustParseAddrPort("[fd00::1]:80")
	mark := target()
	mark.Virtual, mark.FWMark = netip.AddrPort{}, 5
	tests := []struct {
		text   string
		target sdk.Target
		want   string
	}{
		{bare, target(), "[10.0.0.1][80][10.0.0.2][8080]"},
		{bare, v6, "[[fd00::1]][80][[fd00::2]][8080]"},
		{bare, mark, "[5][0][10.0.0.2][8080]"},
		{path, target(), "[10.0.0.1][80][10.0.0.2][8080]"}, // a file with a blank in its name
		{bare + ` -x 'two words' "say \"$HOME\" \\n" a\ b ''`, target(), `[-x][two words][say "$HOME" \n][a b][][10.0.0.1][80][10.0.0.2][8080]`},
		{"  " + bare + "\t;  ", target(), "[;][10.0.0.1][80][10.0.0.2][8080]"},
	}
	for _, tt := range tests {
		v := within(t, c, tt.target, 5*time.Second, command(tt.text))
		if got := strings.TrimPrefix(v.Reason, "exit code 1: "); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestExternalEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_DAEMON", "x")
	inherited, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	// As if a careless parent had given it to the daemon.
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, inherited.Fd(), syscall.F_SETFD, 0); errno != 0 {
		t.Fatal(errno)
	}
	c := newExternalChecker(t)
	out := filepath.Join(t.TempDir(), "out")
	path := write(t, "check", "#!/bin/sh\nexec >"+out+"\nenv; echo cwd=$(pwd); ls /proc/self/fd; readlink /proc/self/fd/0; cut -d' ' -f6 /proc/$$/stat; echo $$\n")
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Status != sdk.StatusUp {
		t.Fatalf("%+v", v)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, want := range []string{
		"LDIRECTORD_VIRTUAL=10.0.0.1", "LDIRECTORD_VIRTUAL_PORT=80", "LDIRECTORD_REAL=10.0.0.2", "LDIRECTORD_REAL_PORT=8080",
		"LDIRECTORD_PROTOCOL=tcp", "LDIRECTORD_CHECK=external", "PATH=" + searchPath, "LANG=C", "SHELL=/bin/sh", "cwd=/", "/dev/null",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	known := "PATH HOME USER LOGNAME SHELL LANG PWD OLDPWD _ SHLVL"
	for _, line := range lines {
		name, _, isVariable := strings.Cut(line, "=")
		if isVariable && name != "cwd" && !strings.HasPrefix(name, "LDIRECTORD_") && !strings.Contains(known, name) {
			t.Errorf("unexpected variable %s", line)
		}
	}
	n := len(lines)
	for _, line := range lines[:n-2] {
		if fd, err := strconv.Atoi(line); err == nil && fd > 3 { // ls has its own directory as 3
			t.Errorf("descriptor %d is left open:\n%s", fd, text)
		}
	}
	if lines[n-1] != lines[n-2] {
		t.Errorf("session %s of process %s: not its own", lines[n-2], lines[n-1])
	}
}

func TestExternalUser(t *testing.T) {
	if os.Getuid() != 0 {
		needs(t, "root, to become another user")
	}
	t.Parallel()
	c := newExternalChecker(t)
	path := write(t, "check", "#!/bin/sh\necho $(id -un) $(id -Gn) $HOME $(grep NoNewPrivs /proc/self/status | tr -d '\\t') ; exit 1")
	for user, want := range map[string]string{"": "root root", "games": "games games /usr/games NoNewPrivs:1"} {
		v := within(t, c, target(), 5*time.Second, sdk.Options{optionCommand: path, optionUser: user})
		if !strings.Contains(v.Reason, want) {
			t.Errorf("user %q: got %+v, want %q", user, v, want)
		}
	}
	secret := write(t, "check", "#!/bin/sh\n")
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	v := within(t, c, target(), 5*time.Second, sdk.Options{optionCommand: secret, optionUser: "games"})
	if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "permission denied") {
		t.Errorf("not his: %+v", v)
	}
}

// needs says loudly what the machine lacks.
func needs(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("LEFT OUT: needs %s", what)
}

func TestExternalWeight(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	for code, want := range map[int]int{0: -1, 1: -2, 2: 0, 3: 1, 102: 100, 255: 253} {
		path := write(t, "check", fmt.Sprintf("#!/bin/sh\nexit %d", code))
		v := within(t, c, target(), 5*time.Second, sdk.Options{optionCommand: path, optionWeight: "yes"})
		got := -2
		if v.Status == sdk.StatusUp {
			got = -1
			if v.Weight != nil {
				got = *v.Weight
			}
		}
		if got != want {
			t.Errorf("exit code %d: %+v", code, v)
		}
		v = within(t, c, target(), 5*time.Second, command(path))
		if (v.Status == sdk.StatusUp) != (code == 0) || v.Weight != nil {
			t.Errorf("exit code %d without externalweight: %+v", code, v)
		}
	}
}

// stubborn ignores TERM, as do its children: one in its group, one in a session of its own, one
// of a shell with job control, and one that it leaves behind. Each writes its number.
const stubborn = `#!/bin/bash
exec 2>/dev/null # bash tells of children that are killed before it is
trap '' TERM
set -m
dir=$(dirname "$0")
child() { trap '' TERM; echo $BASHPID >>$dir/pids; while :; do sleep 0.1; done; }
child & 
set +m
child &
setsid bash -c "trap '' TERM; echo \$\$ >>$dir/pids; while :; do sleep 0.1; done" &
( ( child & ) )
echo $$ >>$dir/pids
echo still here
while :; do sleep 0.1; done
`

func TestExternalKillLadder(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	path := write(t, "check", stubborn)
	v := within(t, c, target(), 2*time.Second, command(path))
	if v.Status != sdk.StatusDown || v.Code != sdk.CodeTimeout || v.Reason != "not finished after 2s: still here" {
		t.Errorf("got %+v", v)
	}
	pids := pidsOf(t, filepath.Join(filepath.Dir(path), "pids"))
	if len(pids) != 5 {
		t.Errorf("%d processes began in time, want 5", len(pids))
	}
	for _, pid := range pids {
		for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d is left", pid)
			}
		}
	}
}

// pidsOf reads process numbers, one a line.
func pidsOf(t *testing.T, path string) []int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// alive says whether there is such a process that is no zombie.
func alive(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}

// TestExternalWithoutMark has a script that throws its environment away: its group is killed all the same.
func TestExternalWithoutMark(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	path := write(t, "check", "#!/bin/sh\necho $$ >$(dirname $0)/pids\nexec env -i bash -c \"trap '' TERM; while :; do sleep 0.1; done\"\n")
	if v := within(t, c, target(), time.Second, command(path)); v.Code != sdk.CodeTimeout {
		t.Errorf("got %+v", v)
	}
	for _, pid := range pidsOf(t, filepath.Join(filepath.Dir(path), "pids")) {
		if alive(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

// TestExternalTerm has a script that cleans up after itself.
func TestExternalTerm(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	path := write(t, "check", "#!/bin/bash\ntrap 'echo cleaned up; exit 0' TERM\nwhile :; do read -t 1 <> <(:) || :; done\n")
	v := within(t, c, target(), time.Second, command(path))
	if v.Status != sdk.StatusDown || v.Reason != "not finished after 1s: cleaned up" {
		t.Errorf("got %+v", v)
	}
}

// TestExternalLeavesChildren: who holds the output keeps nobody waiting, and what is left in the
// group ends with the script.
func TestExternalLeavesChildren(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	path := write(t, "check", "#!/bin/sh\nsleep 60 &\necho $! >$(dirname $0)/pids\necho done\nexit 3")
	began := time.Now()
	v := within(t, c, target(), 20*time.Second, command(path))
	if v.Reason != "exit code 3: done" || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %+v", time.Since(began), v)
	}
	pid := pidsOf(t, filepath.Join(filepath.Dir(path), "pids"))[0]
	for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is left", pid)
		}
	}
	daemon := write(t, "check", "#!/bin/sh\nd=$(dirname $0)\nsetsid sh -c \"echo >$d/begun; sleep 4\" &\nwhile [ ! -e $d/begun ]; do sleep 0.05; done\necho done\nexit 3")
	began = time.Now()
	v = within(t, c, target(), 20*time.Second, command(daemon))
	if v.Reason != "exit code 3: done" || time.Since(began) > 2500*time.Millisecond {
		t.Errorf("after %v: %+v", time.Since(began), v)
	}
}

// TestExternalFlood has a script print without end.
func TestExternalFlood(t *testing.T) {
	t.Parallel()
	c := newExternalChecker(t)
	v := within(t, c, target(), time.Second, command("/usr/bin/yes "+strings.Repeat("y", 3000)))
	if v.Code != sdk.CodeTimeout || len(v.Reason) > longest+100 {
		t.Errorf("got %+v", v)
	}
}
