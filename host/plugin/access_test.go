package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// needRoot says so loudly when there is no root to try things as.
func needRoot(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	t.Log("NOT ROOT: nothing was tried")
	if os.Getenv("CI") == "true" {
		t.Error("must be root in CI")
	}
	return false
}

// A plugin that its user cannot reach does not start: which user, and which directory stops it?
func TestUnreachableForThePluginsUser(t *testing.T) {
	if !needRoot(t) {
		return
	}
	for name, tt := range map[string]struct {
		spoil func(dir string) error
		says  string
	}{
		"parent":    {func(d string) error { return os.Chmod(filepath.Dir(d), 0o700) }, "user nobody cannot enter %[2]s (mode 0700)"},
		"directory": {func(d string) error { return os.Chmod(d, 0o750) }, "user nobody cannot enter %[1]s (mode 0750)"},
		"file": {
			func(d string) error { return os.Chmod(filepath.Join(d, prefix+"good"), 0o744) },
			"user nobody cannot execute %[1]s/" + prefix + "good (mode 0744)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(directory(t), "plugins")
			if err := errors.Join(os.Mkdir(dir, 0o755),
				copyFile(filepath.Join(plugins, prefix+"good"), filepath.Join(dir, prefix+"good"))); err != nil {
				t.Fatal(err)
			}
			p, _ := newPool(t, func(o *Options) { o.Dirs, o.User = []string{dir}, "nobody" })
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(tt.says, dir, filepath.Dir(dir))
			_, err := p.Describe(t.Context(), "good")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
}

// The run directory may be as unreachable as the binary.
func TestUnreachableRunDirectory(t *testing.T) {
	if !needRoot(t) {
		return
	}
	closed := directory(t)
	p, _ := newPool(t, func(o *Options) { o.RunDir, o.User = filepath.Join(closed, "run"), "nobody" })
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := p.Describe(t.Context(), "good")
	if want := "user nobody cannot enter " + closed + " (mode 0700)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestMayPass(t *testing.T) {
	for _, tt := range []struct {
		mode, uid, gid uint32
		want           bool
	}{
		{0o700, 1, 1, true},
		{0o077, 1, 1, false}, // the owner's bits decide for the owner
		{0o070, 2, 1, true},
		{0o707, 2, 1, false}, // the group's for the group
		{0o001, 2, 2, true},
		{0o770, 2, 2, false},
	} {
		if got := mayPass(&syscall.Stat_t{Uid: 1, Gid: 1, Mode: tt.mode}, tt.uid, tt.gid); got != tt.want {
			t.Errorf("%04o for %d:%d: %v", tt.mode, tt.uid, tt.gid, got)
		}
	}
}

func TestOtherErrorsPass(t *testing.T) {
	gone := &fs.PathError{Op: "fork/exec", Path: "/gone", Err: syscall.ENOENT}
	if err := explainDenial(exec.Command("/gone"), gone); err != error(gone) {
		t.Errorf("got %v", err)
	}
}

// What a plugin does not do to itself, because it is written in another language, the daemon does.
func TestLimitProcess(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // "signal: killed"
	}()
	limitProcess(cmd.Process.Pid)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(limits)), " ")
	for _, want := range []string{"Max core file size 0 0 ", "Max file size 16777216 16777216 "} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, limits)
		}
	}
}
