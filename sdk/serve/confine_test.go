package serve

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	abi "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// asConfined names the variable that makes this binary a plugin which tries what it may do. Its
// value is the directory, outside of the plugin's own, that it tries it in.
const asConfined = "SERVE_TEST_AS_CONFINED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asConfined); dir != "" {
		tryThings(dir)
		return
	}
	os.Exit(m.Run())
}

// tryThings prints a line for each thing: its name, and what came of it.
func tryThings(dir string) {
	before := make(chan struct{})
	threads := reader(before, filepath.Join(dir, "secret")) // threads that exist before
	confine([]Option{ReadPaths(filepath.Join(dir, "asked")), ReadPaths(filepath.Join(dir, "missing"))}, newLogger(os.Stderr))
	close(before)
	own := os.Getenv("PLUGIN_UNIX_SOCKET_DIR")
	say := func(what string, err error) { fmt.Println(what, "=", err) }
	read := func(path string) error { _, err := os.ReadFile(path); return err }
	write := func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }

	say("read secret", read(filepath.Join(dir, "secret")))
	say("read secret in other threads", threads())
	say("list", func() error { _, err := os.ReadDir(dir); return err }())
	say("write elsewhere", write(filepath.Join(dir, "new")))
	say("write asked", write(filepath.Join(dir, "asked")))
	say("remove", os.Remove(filepath.Join(dir, "secret")))
	say("child reads secret", exec.Command("/bin/cat", filepath.Join(dir, "secret")).Run())
	say("signal the parent", syscall.Kill(os.Getppid(), 0))
	say("large file", os.Truncate(filepath.Join(own, "file"), maxFile+1))

	say("read asked", read(filepath.Join(dir, "asked")))
	say("write own", errors.Join(write(filepath.Join(own, "x")), read(filepath.Join(own, "x")), os.Remove(filepath.Join(own, "x"))))
	say("read /etc", errors.Join(read("/etc/hosts"), read("/etc/nsswitch.conf"), read("/etc/resolv.conf")))
	say("null device", write("/dev/null"))
	say("child", exec.Command("/bin/true").Run())
	say("socket", socket(filepath.Join(own, "s")))
	say("resolve", func() error { _, err := net.LookupHost("localhost"); return err }())
	say("certificates", certificates())
	say("time zone", func() error { _, err := time.LoadLocation("Europe/Berlin"); return err }())
}

// reader keeps threads of their own waiting, which then read path; the function gives the first
// success, nil, when one could, or else the error of the last.
func reader(start chan struct{}, path string) func() error {
	var each sync.WaitGroup
	errs := make([]error, 4)
	var ready sync.WaitGroup
	for i := range errs {
		ready.Add(1)
		each.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-start
			_, errs[i] = os.ReadFile(path)
		})
	}
	ready.Wait()
	return func() error {
		each.Wait()
		if slices.Contains(errs, nil) {
			return nil
		}
		return errs[0]
	}
}

func socket(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return err
}

func certificates() error {
	pool, err := x509.SystemCertPool()
	if err == nil && pool.Equal(x509.NewCertPool()) {
		err = errors.New("none")
	}
	return err
}

// haveLandlock says so loudly when the kernel lacks it.
func haveLandlock(t *testing.T) bool {
	t.Helper()
	_, err := abi.LandlockGetABIVersion()
	if err == nil {
		return true
	}
	t.Logf("NO LANDLOCK: that it keeps plugins from files was not tried: %v", err)
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	if os.Getenv("CI") == "true" && !bytes.Contains(cpu, []byte("User Mode Linux")) {
		t.Error("must be there in CI")
	}
	return false
}

func TestConfine(t *testing.T) {
	dir, own := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(dir, "secret"), filepath.Join(dir, "asked"), filepath.Join(own, "file")} {
		if err := os.WriteFile(path, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{asConfined + "=" + dir, "PLUGIN_UNIX_SOCKET_DIR=" + own, "TMPDIR=" + own}
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &log)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		what, came, _ := strings.Cut(strings.TrimSpace(line), " = ")
		got[what] = came
	}
	for _, what := range []string{
		"read asked", "write own", "read /etc", "null device", "child", "socket", "resolve", "certificates", "time zone",
	} {
		if got[what] != "<nil>" {
			t.Errorf("%s: %q, and must work", what, got[what])
		}
	}
	if !strings.Contains(got["large file"], "file too large") {
		t.Errorf("a large file: %q", got["large file"])
	}
	if !haveLandlock(t) {
		return
	}
	if !strings.Contains(log.String(), "landlock is in force") {
		t.Errorf("not in the log: %s", &log)
	}
	for _, what := range []string{"read secret", "read secret in other threads", "list", "write elsewhere", "write asked", "remove"} {
		if !strings.Contains(got[what], "permission denied") {
			t.Errorf("%s: %q, and must not work", what, got[what])
		}
	}
	if got["child reads secret"] != "exit status 1" {
		t.Errorf("a child is confined, too: %q", got["child reads secret"])
	}
	if version, _ := abi.LandlockGetABIVersion(); version >= 6 && !strings.Contains(got["signal the parent"], "operation not permitted") {
		t.Errorf("a signal: %q", got["signal the parent"])
	}
}
