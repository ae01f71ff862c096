package examples

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/plugin"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// repository is the root of the checkout.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// privateRoot is a directory with Debian packages. Where they cannot be had, the test
// is left out, loudly, and fails in CI.
func privateRoot(t *testing.T, packages ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(repository(t), "scripts/private-root"), packages...)
	var says bytes.Buffer
	cmd.Stderr = &says
	out, err := cmd.Output()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: %s", err, &says)
		}
		t.Skipf("NOT TESTED: %s", &says)
	}
	return strings.TrimSpace(string(out))
}

// pluginDir is a directory that the pool takes plugins from, be it root's.
func pluginDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newPool is the director's pool of the plugins in dir.
func newPool(t *testing.T, dir string) *plugin.Pool {
	t.Helper()
	var log bytes.Buffer
	o := plugin.Options{Dirs: []string{dir}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if !open(repository(t)) {
		o.User = "root" // nobody else can reach the private root in here
	}
	p := plugin.New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%.4000s", &log)
		}
	})
	return p
}

// open says whether everybody can pass through every directory of path.
func open(path string) bool {
	for ; path != "/"; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// run runs a command that must succeed, and gives back all that it printed.
func run(t *testing.T, dir string, command ...string) string {
	t.Helper()
	out, err := newCommand(dir, command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// fails runs a command that must not succeed.
func fails(t *testing.T, dir string, command ...string) string {
	t.Helper()
	out, err := newCommand(dir, command).CombinedOutput()
	if _, ended := err.(*exec.ExitError); !ended {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

func newCommand(dir string, command []string) *exec.Cmd {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	return cmd
}

// closedPort is a port that nobody listens on.
func closedPort(host netip.Addr) (netip.AddrPort, func(), error) {
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	return netip.MustParseAddrPort(l.Addr().String()), func() {}, l.Close()
}
