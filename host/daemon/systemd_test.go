package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// told returns the messages that have come, without waiting.
func (j *journald) told(t *testing.T) []string {
	t.Helper()
	raw, err := j.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	err = raw.Control(func(fd uintptr) {
		buf := make([]byte, 4096)
		for {
			n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			out = append(out, string(buf[:n]))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func supervise(t *testing.T, log *slog.Logger, watchdog string) (*Systemd, *journald) {
	t.Helper()
	socket := listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv(notifyVariable, socket.path)
	t.Setenv(watchdogVariable, watchdog)
	t.Setenv(watchdogPidVariable, fmt.Sprint(os.Getpid()))
	return OpenSystemd(log), socket
}

func TestSystemdMessages(t *testing.T) {
	s, socket := supervise(t, slog.New(slog.DiscardHandler), "")
	s.Ready("2 virtual services\nMAINPID=1")
	s.Reloading()
	s.Stopping()
	s.tookOver(4711)
	got := strings.Join(socket.told(t), "|")
	want := regexp.MustCompile(`^READY=1\nSTATUS=2 virtual services\\x0aMAINPID=1\|RELOADING=1\nMONOTONIC_USEC=[1-9]\d{5,}\|STOPPING=1\|MAINPID=4711\nREADY=1$`)
	if !want.MatchString(got) {
		t.Errorf("told %q", got)
	}
	s.Ready(strings.Repeat("x", 5000))
	if got := socket.told(t); len(got) != 1 || len(got[0]) > 600 {
		t.Errorf("told %q", got)
	}
}

// What the daemon starts does not speak for it.
func TestSystemdVariablesStayHere(t *testing.T) {
	supervise(t, slog.New(slog.DiscardHandler), "1000000")
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "NOTIFY_SOCKET=") || strings.HasPrefix(variable, "WATCHDOG_") {
			t.Errorf("children inherit %s", variable)
		}
	}
}

func TestSystemdAbsent(t *testing.T) {
	t.Setenv(notifyVariable, "")
	s := OpenSystemd(nil)
	if s != nil {
		t.Error("there is a systemd")
	}
	s.Ready("x")
	s.Reloading()
	s.Stopping()
	s.Run(t.Context(), nil, nil)
}

// The watchdog hears as often as it should for as long as there are signs of life, and not once after.
func TestSystemdWatchdog(t *testing.T) {
	var log lines
	s, socket := supervise(t, slog.New(slog.NewTextHandler(&log, nil)), "2000000")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var stuck atomic.Bool
		alive := func(ctx context.Context) error {
			if !stuck.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx, func() string { return "as ever" }, alive)
		}()
		time.Sleep(4500 * time.Millisecond)
		synctest.Wait()
		got := socket.told(t)
		slices.Sort(got)
		if want := "STATUS=as ever WATCHDOG=1 WATCHDOG=1 WATCHDOG=1 WATCHDOG=1 WATCHDOG=1"; strings.Join(got, " ") != want {
			t.Errorf("told %q, want %q", got, want)
		}
		stuck.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := socket.told(t); len(got) != 0 {
			t.Errorf("without a sign of life: told %q", got)
		}
		cancel()
		<-done
	})
	if !log.has("no sign of life from the engine") {
		t.Errorf("log: %s", &log.text)
	}
	for _, pid := range []string{"1", "x"} {
		t.Setenv(notifyVariable, socket.path)
		t.Setenv(watchdogVariable, "2000000")
		t.Setenv(watchdogPidVariable, pid)
		if OpenSystemd(nil).watchdog != 0 {
			t.Errorf("the watchdog of process %s is ours", pid)
		}
	}
}

// The status line is told when it changes, at most once a second.
func TestSystemdStatus(t *testing.T) {
	s, socket := supervise(t, slog.New(slog.DiscardHandler), "")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx, func() string { return fmt.Sprint(min(time.Since(began).Seconds(), 3)) }, nil)
		}()
		time.Sleep(8500 * time.Millisecond)
		synctest.Wait()
		if got := strings.Join(socket.told(t), " "); got != "STATUS=1 STATUS=2 STATUS=3" {
			t.Errorf("told %q", got)
		}
		cancel()
		<-done
	})
}

// A systemd that is gone is logged once.
func TestSystemdGone(t *testing.T) {
	var log lines
	s, socket := supervise(t, slog.New(slog.NewTextHandler(&log, nil)), "")
	os.Remove(socket.path)
	s.Ready("x")
	s.Stopping()
	if got := strings.Count(log.text.String(), "systemd could not be told"); got != 1 {
		t.Errorf("log: %s", &log.text)
	}
}

// A daemon in the background is what systemd watches from then on: it alone has the watchdog.
func TestBackgroundTellsSystemd(t *testing.T) {
	_, socket := supervise(t, slog.New(slog.DiscardHandler), "")
	t.Setenv(notifyVariable, socket.path)
	t.Setenv(watchdogVariable, "1000000")
	t.Setenv(watchdogPidVariable, fmt.Sprint(os.Getpid()))
	pid, err := Background([]string{"watched"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := socket.told(t), fmt.Sprintf("MAINPID=%d\nREADY=1", pid); len(got) != 1 || got[0] != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
