package systemd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds failures; what succeeds does not take it.
const patience = 30 * time.Second

const (
	insideVariable = "LDIRECTORD_INSIDE" // set in the private system; its value is the directory of systemd's programs
	program        = "/run/bin/ldirectord"
)

func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// inside runs the test again in a private system, with processes, network, /run, /etc, /var/lib and /var/log of its own: there journald
// has its one place, and nothing outside is touched. It reports whether this is the one in there.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	leaveOut := t.Skipf
	if os.Getenv("CI") == "true" {
		leaveOut = t.Fatalf
	}
	if os.Getuid() != 0 {
		leaveOut("NOT TESTED with journald: only root can give it a private system")
	}
	var says bytes.Buffer
	unpack := exec.Command("../private-root", "systemd")
	unpack.Stderr = &says
	root, err := unpack.Output()
	if err != nil {
		leaveOut("NOT TESTED with journald: %v: %s", err, &says)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), insideVariable+"="+strings.TrimSpace(string(root)))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		leaveOut("NOT TESTED with journald: root of this machine may not make name spaces: %v", err)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// furnish makes the private system. Mounts come before all else: what follows is to happen in there only.
func furnish() error {
	const machine = "0123456789abcdef0123456789abcdef\n"
	etc := map[string][]byte{"machine-id": []byte(machine), "hosts": []byte("127.0.0.1 localhost\n")}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "protocols", "services"} {
		if text, err := os.ReadFile("/etc/" + name); err == nil {
			etc[name] = text
		}
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, dir := range []string{"/etc", "/run", "/var/log", "/var/lib"} {
		if err := syscall.Mount("none", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	for name, text := range etc {
		if err := os.WriteFile("/etc/"+name, text, 0o644); err != nil {
			return err
		}
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("bring up lo: %w: %s", err, out)
	}
	return nil
}

// build makes the program, and the check of pop.
func build(t *testing.T) {
	t.Helper()
	for out, dir := range map[string]string{
		program: "host/cmd/ldirectord", "/run/bin/plugins/ldirectord-check-pop": "plugins/pop",
	} {
		cmd := exec.Command("go", "build", "-o", out, "../../"+dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", dir, err, text)
		}
	}
}

// tool is a program of systemd's packages.
func tool(name string, args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(os.Getenv(insideVariable), "exec"), append([]string{name}, args...)...)
}

// journald runs until stop, which the test's end calls as well.
func journald(t *testing.T) (stop func()) {
	t.Helper()
	const sockets = "/run/systemd/journal/"
	_ = os.RemoveAll(sockets + "socket") // of one that was killed
	write(t, "/run/systemd/journald.conf.d/test.conf", "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n")
	cmd := tool("../lib/systemd/systemd-journald")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	until(t, "journald's socket", func() bool {
		conn, err := net.Dial("unixgram", sockets+"socket")
		if err != nil {
			return false
		}
		conn.Close()
		_, err = os.Stat(sockets + "stdout")
		return err == nil
	})
	return stop
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// stream is what systemd makes the standard output of a service: its first lines say whose it is.
func stream(t *testing.T) (file *os.File, variable string) {
	t.Helper()
	conn, err := net.Dial("unix", "/run/systemd/journal/stdout")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "ldirectord\nldirectord@web.cf.service\n6\n1\n0\n0\n0\n")
	file, err = conn.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return file, fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, st.Ino)
}

// records are what journalctl finds.
func records(t *testing.T, match ...string) []map[string]string {
	t.Helper()
	out, err := tool("journalctl", append([]string{"--directory=/run/log/journal", "--quiet", "--all", "--output=json"}, match...)...).Output()
	if err != nil {
		return nil // nothing yet
	}
	var all []map[string]string
	for line := range bytes.Lines(out) {
		var raw map[string]any
		if err := json.Unmarshal(line, &raw); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		one := map[string]string{}
		for key, value := range raw {
			one[key], _ = value.(string)
		}
		all = append(all, one)
	}
	return all
}

// found waits for the first record that matches and whose text fits.
func found(t *testing.T, pattern string, match ...string) map[string]string {
	t.Helper()
	var hit map[string]string
	until(t, fmt.Sprintf("a record %q %v", pattern, match), func() bool {
		for _, r := range records(t, match...) {
			if regexp.MustCompile(pattern).MatchString(r["MESSAGE"]) {
				hit = r
				return true
			}
		}
		return false
	})
	return hit
}
