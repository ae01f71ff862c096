//go:build linux

package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes the test binary play the command inside the guest.
const roleVariable = "E2E_GUEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "inside" {
		os.Exit(inside(os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// report is what the command inside saw and did.
type report struct {
	Args      []string
	Env       map[string]string
	Directory string
	Host      string
	UID       int
	Terminal  bool
	// Outputs of the commands in commands, by their text.
	Outputs map[string]string
	// Created lists the files written inside.
	Created []string
}

// schedulers are all that the kernel of user-mode-linux has.
var schedulers = []string{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq"}

// commands run inside, in order.
func commands() []string {
	list := []string{
		"ip netns add one",
		"ip netns add two",
		"ip -n one link set lo up",
		"ip netns exec one ipvsadm -A -t 10.0.0.1:80 -s rr",
		"ip netns exec one ipvsadm -a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 5",
		"ip netns exec one ipvsadm -Sn",
		"ip netns exec two ipvsadm -Sn",
		"ipvsadm -A -t [fd00::1]:80 -s wlc",
		"ipvsadm -Ln",
		"ip -br address show lo",
		"ip link add left type veth peer name right",
		"ip link add line type dummy",
		"ip link add middle type bridge",
		"id -un",
	}
	for i, scheduler := range schedulers {
		list = append(list, fmt.Sprintf("ipvsadm -A -f %d -s %s", i+1, scheduler))
	}
	return list
}

// inside is the command in the guest: it reports on out, says a word on log,
// leaves a process behind that holds both, and returns an exit status of 7.
func inside(out, log io.Writer) int {
	saw := report{Args: os.Args[1:], Env: map[string]string{}, Outputs: map[string]string{}, UID: os.Getuid()}
	saw.Directory, _ = os.Getwd()
	saw.Host, _ = os.Hostname()
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		saw.Env[name] = value
	}
	if info, err := os.Stdout.Stat(); err == nil {
		saw.Terminal = info.Mode()&os.ModeCharDevice != 0
	}
	for _, line := range commands() {
		words := strings.Fields(line)
		output, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			output = fmt.Appendf(output, "%v", err)
		}
		saw.Outputs[line] = string(output)
	}
	for _, directory := range []string{
		".", "/run", "/var/run", "/var/log", "/var/lib/ldirectord", "/etc", "/etc/ha.d", "/usr/local/bin", "/run/tmp", "/dev/shm",
	} {
		name := filepath.Join(directory, "left-by-"+saw.Env["E2E_MARK"])
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			fmt.Fprintln(log, err)
			return 1
		}
		saw.Created = append(saw.Created, name)
	}
	leftover := exec.Command("sleep", "1000")
	leftover.Stdout, leftover.Stderr = os.Stdout, os.Stderr
	if err := leftover.Start(); err != nil {
		fmt.Fprintln(log, err)
		return 1
	}
	fmt.Fprintln(log, "a word on standard error")
	if err := json.NewEncoder(out).Encode(saw); err != nil {
		return 1
	}
	return 7
}

// needPackages ends the test when the guest cannot be started here.
func needPackages(t *testing.T) {
	t.Helper()
	output, err := exec.Command("./packages").CombinedOutput()
	if err == nil {
		return
	}
	leaveOut(t, fmt.Sprintf("no user-mode kernel here: %s (%v)", bytes.TrimSpace(output), err))
}

// leaveOut skips the test, and fails it where that would go unnoticed.
func leaveOut(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("LEFT OUT: " + why)
	}
	t.Skip("LEFT OUT: " + why)
}

// script is one run of a script, with a TMPDIR of its own.
type script struct {
	*exec.Cmd
	tmp            string
	stdout, stderr bytes.Buffer
}

func newScript(t *testing.T, name string, args ...string) *script {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{Cmd: exec.CommandContext(t.Context(), path, args...), tmp: t.TempDir()}
	s.Env = append(os.Environ(), "TMPDIR="+s.tmp)
	s.Stdout, s.Stderr = &s.stdout, &s.stderr
	return s
}

// status runs the script and returns its exit status; what it leaves in its
// TMPDIR is an error.
func (s *script) status(t *testing.T) int {
	t.Helper()
	return s.ended(t, s.Run())
}

// ended judges the outcome err of the finished script like status.
func (s *script) ended(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	left, err := os.ReadDir(s.tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v %v", left, err)
	}
	return s.ProcessState.ExitCode()
}

func TestRun(t *testing.T) {
	t.Parallel()
	needPackages(t)
	odd := []string{"", "two words", `"quotes' \n`, "new\nline", "--", "$HOME `id` *", "a=b", "ü\xff"}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(t, "run", slices.Concat([]string{"--mem", "1G", "--timeout", "120", "--", binary}, odd)...)
	s.Dir = t.TempDir()
	mark := fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano())
	s.Env = append(s.Env, roleVariable+"=inside", "E2E_MARK="+mark, "GUEST_ENV=ODD, SECOND",
		"ODD=line one\nline 'two' \"\\", "SECOND=", "SECRET=stays outside")
	if got := s.status(t); got != 7 {
		t.Fatalf("exit status %d, want 7; standard error:\n%s", got, &s.stderr)
	}
	if got := s.stderr.String(); got != "a word on standard error\n" {
		t.Errorf("standard error: %q", got)
	}
	var saw report
	if err := json.Unmarshal(s.stdout.Bytes(), &saw); err != nil {
		t.Fatalf("%v in %q", err, s.stdout.String())
	}
	// JSON has no byte 0xff; the encoder writes U+FFFD for it.
	odd[len(odd)-1] = "ü\ufffd"
	if !slices.Equal(saw.Args, odd) {
		t.Errorf("arguments %q, want %q", saw.Args, odd)
	}
	checkSurroundings(t, s, saw)
	checkTables(t, saw)
	checkLeaks(t, s.Dir, saw, mark)
}

// checkSurroundings looks at what the command found around it.
func checkSurroundings(t *testing.T, s *script, saw report) {
	t.Helper()
	for name, want := range map[string]string{
		"ODD": "line one\nline 'two' \"\\", "SECOND": "", "IPVS_KERNEL": "native", "TMPDIR": "/run/tmp",
	} {
		if got, ok := saw.Env[name]; !ok || got != want {
			t.Errorf("%s is %q (%t), want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"SECRET", "GUEST", "GUEST_ENV", "mem"} {
		if got, ok := saw.Env[name]; ok {
			t.Errorf("%s=%s arrived", name, got)
		}
	}
	if want, _ := filepath.EvalSymlinks(s.Dir); saw.Directory != want {
		t.Errorf("working directory %s, want %s", saw.Directory, want)
	}
	if saw.Host != "guest" || saw.UID != 0 || saw.Terminal {
		t.Errorf("host %q, uid %d, terminal %t; want guest, 0, false", saw.Host, saw.UID, saw.Terminal)
	}
	if got := saw.Outputs["ip -br address show lo"]; !strings.Contains(got, "127.0.0.1/8 ::1/128") {
		t.Errorf("lo: %s", got)
	}
	if got := saw.Outputs["id -un"]; got != "root\n" {
		t.Errorf("id -un: %q", got)
	}
}

// checkTables looks at what ipvsadm and ip said.
func checkTables(t *testing.T, saw report) {
	t.Helper()
	want := map[string]string{
		"ip netns exec one ipvsadm -Sn": "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 5\n",
		"ip netns exec two ipvsadm -Sn": "",
	}
	for _, line := range commands() {
		switch got := saw.Outputs[line]; {
		case strings.HasPrefix(line, "id "), strings.Contains(line, "show"):
		case line == "ipvsadm -Ln":
			if !strings.Contains(got, "TCP  [fd00::1]:80 wlc") {
				t.Errorf("%s: %s", line, got)
			}
		case got != want[line]:
			t.Errorf("%s: %q, want %q", line, got, want[line])
		}
	}
}

// checkLeaks looks for the guest's files on this machine: the one in the
// working directory must be here, the others must not.
func checkLeaks(t *testing.T, directory string, saw report, mark string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(directory, "left-by-"+mark)); err != nil {
		t.Errorf("a file written in the working directory did not arrive: %v", err)
	}
	if len(saw.Created) < 10 {
		t.Errorf("created only %q", saw.Created)
	}
	for _, name := range saw.Created {
		if !filepath.IsAbs(name) {
			continue
		}
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s leaked out of the guest: %v", name, err)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	needPackages(t)
	s := newScript(t, "run", "--mem", "256M", "--timeout", "5", "--", "sleep", "1000")
	if got := s.status(t); got != 124 {
		t.Errorf("exit status %d, want 124", got)
	}
	if got, want := s.stderr.String(), "run: not finished after 5 seconds, stopped: sleep 1000\n"; got != want {
		t.Errorf("standard error %q, want %q", got, want)
	}
}

// TestTerm ends a run as soon as its first line arrived, which also shows that
// output is live.
func TestTerm(t *testing.T) {
	t.Parallel()
	needPackages(t)
	s := newScript(t, "run", "--mem", "256M", "--timeout", "120", "--", "sh", "-c", "echo ready; sleep 1000")
	s.Stdout = nil
	pipe, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(pipe).ReadString('\n')
	if line != "ready\n" {
		t.Errorf("first line %q %v; standard error:\n%s", line, err, &s.stderr)
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := s.ended(t, s.Wait()); got != 143 {
		t.Errorf("exit status %d, want 143; standard error:\n%s", got, &s.stderr)
	}
}

// TestKernelDies shows that a crash is told from an exit, with the console.
func TestKernelDies(t *testing.T) {
	t.Parallel()
	needPackages(t)
	s := newScript(t, "run", "--mem", "256M", "--timeout", "120", "--", "sh", "-c", "echo c >/proc/sysrq-trigger")
	if got := s.status(t); got != 125 {
		t.Errorf("exit status %d, want 125", got)
	}
	for _, want := range []string{"Kernel panic", "the user-mode kernel died while the command ran"} {
		if !strings.Contains(s.stderr.String(), want) {
			t.Errorf("standard error lacks %q:\n%s", want, &s.stderr)
		}
	}
}

// TestNative drives the half of exec that uses this machine's kernel; the
// namespaces need no IPVS.
func TestNative(t *testing.T) {
	t.Parallel()
	if err := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "true").Run(); err != nil {
		leaveOut(t, "no right to make namespaces: "+err.Error())
	}
	mark := fmt.Sprintf("left-by-native-%d-%d", os.Getpid(), time.Now().UnixNano())
	places := []string{"/etc/ha.d/", "/run/", "/var/log/", "/var/lib/ldirectord/", "/usr/local/bin/"}
	s := newScript(t, "exec", "--timeout", "60", "--", "sh", "-c",
		`pwd; for place in `+strings.Join(places, " ")+`; do touch ${place}`+mark+` || exit 1; done; `+
			`ip -br address show lo; touch here; sleep 1000 & echo "$1" >&2; exit 9`, "sh", "two  words")
	s.Dir = t.TempDir()
	s.Env = append(s.Env, "IPVS_KERNEL=native")
	if got := s.status(t); got != 9 {
		t.Errorf("exit status %d, want 9", got)
	}
	if got := s.stderr.String(); got != "two  words\n" {
		t.Errorf("standard error %q", got)
	}
	if got := s.stdout.String(); !strings.HasPrefix(got, s.Dir+"\n") || !strings.Contains(got, "127.0.0.1/8") {
		t.Errorf("standard output %q", got)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "here")); err != nil {
		t.Error(err)
	}
	for _, place := range places {
		if _, err := os.Lstat(place + mark); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s%s leaked: %v", place, mark, err)
		}
	}

	s = newScript(t, "exec", "--timeout", "1", "--", "sleep", "1000")
	s.Env = append(s.Env, "IPVS_KERNEL=native")
	if got := s.status(t); got != 124 {
		t.Errorf("exit status %d after the timeout, want 124: %s", got, &s.stderr)
	}
}

func TestKernel(t *testing.T) {
	t.Parallel()
	s := newScript(t, "kernel")
	if got := s.status(t); got != 0 {
		t.Fatalf("exit status %d: %s", got, &s.stderr)
	}
	word, reason, _ := strings.Cut(s.stdout.String(), "\n")
	if !slices.Contains([]string{"native", "guest", "none"}, word) || strings.Count(reason, "\n") != 1 || len(reason) < 20 {
		t.Errorf("kernel says %q because %q", word, reason)
	}
}

// TestRefusals: what is wrong is said in a sentence, with its exit status.
func TestRefusals(t *testing.T) {
	t.Parallel()
	bare := t.TempDir()
	for _, tool := range []string{"sh", "env"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bare, tool)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		command, environment string
		status               int
		want                 string
	}{
		{"run", "", 2, "run: which command?"},
		{"run --", "", 2, "run: which command?"},
		{"run --mem", "", 2, "run: --mem needs a value"},
		{"run --mem much -- true", "", 2, "run: --mem takes a size such as 512M or 2G, not 'much'"},
		{"run --mem 4000000G -- true", "", 125, "run: no file system has room for 4000000G of memory"},
		{"run true", "", 2, "run: unknown argument 'true'"},
		{"exec --timeout 0 -- true", "", 2, "exec: --timeout takes whole seconds, not '0'"},
		{"exec -- true", "IPVS_KERNEL=none", 3, "exec: no IPVS: IPVS_KERNEL asks for it"},
		{"exec -- true", "IPVS_KERNEL=other", 2, "kernel: IPVS_KERNEL is 'other'"},
		{"packages one two", "PATH=" + bare, 3, "packages: this is not a Debian machine (no apt-get); needed are what Debian calls: one two"},
	} {
		words := strings.Fields(c.command)
		s := newScript(t, words[0], words[1:]...)
		s.Env = append(s.Env, c.environment)
		if got := s.status(t); got != c.status || !strings.Contains(s.stderr.String(), c.want) {
			t.Errorf("%s %s: status %d and %q, want %d and %q", c.environment, c.command, got, &s.stderr, c.status, c.want)
		}
	}
}
