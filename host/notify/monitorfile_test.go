package notify

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

func sighting(path, id string, v sdk.Verdict) state.Sighting {
	return state.Sighting{
		Observation: state.Observation{Verdict: v, At: time.Date(2026, 11, 2, 7, 6, 33, 0, time.Local)},
		Service:     &config.Service{MonitorFile: path}, RealID: id,
	}
}

const httpID = "negotiate http tcp 10.4.0.11 80 1 masq /good.html OK"

// until waits for a condition, and fails after a while.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func content(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

func TestMonitorFile(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	m := NewMonitorFiles(slog.New(slog.DiscardHandler))
	m.Seen([]state.Sighting{
		sighting(a, httpID, sdk.Up()),
		sighting(a, "negotiate http tcp 10.4.0.11 80 1 masq /good.html?a%20b O?K|a b", sdk.Down("status 500 | 100%%\r\nnext \x1b[2J\xff ü")),
		sighting(b, "connect tcp 10.4.0.14 80 1 masq / ", sdk.Unknown("no descriptor")),
		sighting(b, strings.Repeat("i", 2000), sdk.Down("%s", strings.Repeat("m", 2000))),
	})
	m.Seen([]state.Sighting{sighting(a, "negotiate http tcp 10.4.0.11 80 1 masq / a\r\nb\x1b", sdk.Up())})
	m.Close(t.Context())
	head := fmt.Sprintf("[Mon Nov  2 07:06:33 2026] [%d] ", os.Getpid())
	want := head + httpID + " [up] -\n" +
		head + "negotiate http tcp 10.4.0.11 80 1 masq /good.html?a%20b O?K|a b [down] status 500 %7C 100%25%0D%0Anext %1B[2J%FF ü\n" +
		head + "negotiate http tcp 10.4.0.11 80 1 masq / a%0D%0Ab%1B [up] -\n"
	if got := content(a); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := content(b); !strings.HasPrefix(got, head+"connect tcp 10.4.0.14 80 1 masq /  [unknown] no descriptor\n") || len(got) > 2000 {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	// What sites take lines apart with.
	line := regexp.MustCompile(`^\[[^]]+\] \[\d+\] .* \[(up|down|unknown)\] .+$`)
	for got := range strings.Lines(content(a) + content(b)) {
		if !line.MatchString(strings.TrimSuffix(got, "\n")) {
			t.Errorf("%q", got)
		}
	}
	if info, err := os.Stat(a); err != nil || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestMonitorFileIsRotated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m")
	m := NewMonitorFiles(slog.New(slog.DiscardHandler))
	for i, away := range []func() error{
		func() error { return os.Rename(path, path+".1") },
		func() error { return os.Remove(path) },
		func() error { return os.Truncate(path, 0) },
	} {
		m.Seen([]state.Sighting{sighting(path, "before", sdk.Up())})
		until(t, "a line", func() bool { return strings.HasSuffix(content(path), "before [up] -\n") })
		if err := away(); err != nil {
			t.Fatal(err)
		}
		m.Seen([]state.Sighting{sighting(path, "after", sdk.Up())})
		until(t, "a line after it was rotated", func() bool { return strings.HasSuffix(content(path), "after [up] -\n") })
		if n := strings.Count(content(path), "\n"); n != 1 {
			t.Errorf("way %d: %d lines", i, n)
		}
	}
	m.Close(t.Context())
	if got := content(path + ".1"); !strings.HasSuffix(got, "before [up] -\n") {
		t.Errorf("%q", got)
	}
}

// journal is a log that a test reads while it is written.
func journal(t *testing.T) (*slog.Logger, func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return slog.New(slog.NewTextHandler(f, nil)), func() string { return content(path) }
}

func TestMonitorFileOutlivesItsDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "m")
	log, logged := journal(t)
	m := NewMonitorFiles(log)
	for range 3 {
		m.Seen([]state.Sighting{sighting(path, "lost", sdk.Up())})
		until(t, "the failure", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return !m.files[path].busy })
	}
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	m.Seen([]state.Sighting{sighting(path, "kept", sdk.Up())})
	m.Close(t.Context())
	if got := content(path); strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
	if got := logged(); strings.Count(got, "cannot be written") != 1 || !strings.Contains(got, "written again\" monitorfile="+path+" lines_lost=3") {
		t.Errorf("log:\n%s", got)
	}
}

// A disk that is full takes a part of a line, and more when there is room again.
func TestMonitorFileOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		lack := fmt.Sprintf("NOT TESTED on a full disk: mount a tmpfs: %v", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(lack)
		}
		t.Skip(lack)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "m")
	log, logged := journal(t)
	if err := os.WriteFile(filepath.Join(dir, "other"), bytes.Repeat([]byte("x"), 8000), 0o600); err != nil {
		t.Fatal(err)
	}
	m := NewMonitorFiles(log)
	for range 400 {
		m.Seen([]state.Sighting{sighting(path, httpID, sdk.Up())})
	}
	until(t, "a full disk", func() bool { return strings.Contains(logged(), "no space left") })
	if err := os.Remove(filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	m.Seen([]state.Sighting{sighting(path, "again", sdk.Up())})
	m.Close(t.Context())
	got := strings.Split(strings.TrimSuffix(content(path), "\n"), "\n")
	if last := got[len(got)-1]; strings.Count(last, "[Mon") != 1 || !strings.HasPrefix(last, "[Mon") || !strings.HasSuffix(last, "again [up] -") {
		t.Errorf("the last line is %q", last)
	}
	if !strings.Contains(logged(), "written again") {
		t.Errorf("log:\n%s", logged())
	}
}

// A disk that is full is made room on by a rotation: the new file begins with a line, not with the end of one.
func TestMonitorFileIsRotatedWithinALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	f := &monitorFile{path: path, partly: true}
	if _, err := f.write([]byte("line\n")); err != nil || content(path) != "line\n" {
		t.Errorf("%q, %v", content(path), err)
	}
	f.partly = true
	if _, err := f.write([]byte("line\n")); err != nil || content(path) != "line\n\nline\n" {
		t.Errorf("%q, %v", content(path), err)
	}
}

// A pipe whose reader has stopped reading is said to be one, and lines are lost until it goes on.
func TestMonitorFileWithoutAReader(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	log, logged := journal(t)
	m := NewMonitorFiles(log)
	for range 2000 {
		m.Seen([]state.Sighting{sighting(pipe, httpID, sdk.Up())})
	}
	until(t, "a line in the log", func() bool { return strings.Contains(logged(), "cannot be written") })
	m.Close(t.Context())
}

// A pipe that nobody reads, and a device that is always full, hold nobody up, and memory stays bounded.
func TestMonitorFileThatTakesNothing(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	log, logged := journal(t)
	m := NewMonitorFiles(log)
	var all []state.Sighting
	for range 20_000 {
		all = append(all, sighting("/dev/full", httpID, sdk.Up()), sighting(pipe, httpID, sdk.Up()))
	}
	m.Seen(all)
	m.mu.Lock()
	for path, f := range m.files {
		if len(f.waiting) > monitorWaiting+2000 || f.lost == 0 {
			t.Errorf("%s: %d bytes wait, %d lines lost", path, len(f.waiting), f.lost)
		}
	}
	m.mu.Unlock()
	m.Close(t.Context())
	if got := logged(); strings.Count(got, "cannot be written") != 2 {
		t.Errorf("log:\n%s", got)
	}
}
