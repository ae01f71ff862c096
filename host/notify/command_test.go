package notify

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// A command that hangs delays none of another virtual service, and those of its own wait.
func TestOneFallbackCommandDelaysNoOther(t *testing.T) {
	dir := t.TempDir()
	gate, out := filepath.Join(dir, "gate"), filepath.Join(dir, "out")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(out, 0o600); err != nil {
		t.Fatal(err)
	}
	f := NewFallbackCommands(slog.New(slog.DiscardHandler), false)
	web := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
	other := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.2:80"))
	f.Take([]state.Transition{
		{Change: state.FallbackStarted, Service: web, Command: "read -r line <" + gate + "; echo \"$line $0\" >" + out + "; :"},
		{Change: state.FallbackStopped, Service: web, Command: "echo second >" + out + "; :"},
		{Change: state.FallbackStarted, Service: other, Command: "echo other >" + out + "; :"},
	})
	read := func() string {
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := read(); got != "other\n" {
		t.Errorf("first came %q", got)
	}
	if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got := read() + read(); got != "go sh\nsecond\n" {
		t.Errorf("then came %q", got)
	}
	f.Close(context.Background())
}

func TestCallback(t *testing.T) {
	out := filepath.Join(t.TempDir(), "calls")
	c := NewCallbacks(slog.New(slog.DiscardHandler), false)
	c.Changed("echo called >>"+out+"; echo", "/etc/a file.cf")
	c.Changed("printf '%s\\n' >>"+out, "/etc/a file.cf")
	c.Close(context.Background())
	if got, err := os.ReadFile(out); err != nil || string(got) != "called\n/etc/a file.cf\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFallbackCommands(t *testing.T) {
	out := filepath.Join(t.TempDir(), "calls")
	script := filepath.Join(t.TempDir(), "fallback")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$WORD $*\" >>"+out+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	f := NewFallbackCommands(slog.New(slog.NewTextHandler(&log, nil)), false)
	web := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
	v6 := lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort("[2001:db8::1]:53"))
	command := "WORD=a " + script + " 'two words'"
	f.Take([]state.Transition{
		{Change: state.FallbackStarted, Service: web, Command: command},
		{Change: state.Added, Service: web},
		{Change: state.FallbackStarted, Service: lvs.ServiceMark(5, lvs.IPv4), Command: command},
		{Change: state.FallbackStarted, Service: web},
		{Change: state.FallbackStopped, Service: v6, Command: command},
		{Change: state.FallbackStopped, Service: web, Command: "echo why >&2; exit 3; :"},
	})
	f.Close(context.Background())
	want := "a two words start 10.0.0.1:80 tcp\na two words start 5:0 fwm\na two words stop [2001:db8::1]:53 udp\n"
	got, err := os.ReadFile(out)
	lines := slices.Sorted(strings.Lines(string(got))) // of several virtual services, in any order
	if err != nil || strings.Join(lines, "") != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if !strings.Contains(log.String(), "exit status 3") || !strings.Contains(log.String(), "output=why") {
		t.Errorf("the failure is not in the log: %s", log.String())
	}
}

func TestFallbackCommandIsEnded(t *testing.T) {
	var log bytes.Buffer
	f := NewFallbackCommands(slog.New(slog.NewTextHandler(&log, nil)), false)
	f.shells.limit = 50 * time.Millisecond
	f.Take([]state.Transition{{Change: state.FallbackStarted, Command: "trap '' TERM; while :; do read -r line </dev/zero; done; :"}})
	f.Close(context.Background())
	if !strings.Contains(log.String(), "ran too long") {
		t.Errorf("log: %s", log.String())
	}
}

// What a command leaves in the background is no failure, and lives on whatever it says and whenever.
func TestCommandInTheBackground(t *testing.T) {
	dir := t.TempDir()
	gate, out := filepath.Join(dir, "gate"), filepath.Join(dir, "out")
	for _, path := range []string{gate, out} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	heard, err := os.OpenFile(out, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	var log bytes.Buffer
	f := NewFallbackCommands(slog.New(slog.NewTextHandler(&log, nil)), false)
	f.Take([]state.Transition{{
		Change: state.FallbackStarted, Command: "{ read -r line <" + gate + "; echo talk; echo alive >" + out + "; } & :",
	}})
	f.shells.running.Wait()
	if !strings.Contains(log.String(), "fallbackcommand done") {
		t.Errorf("log: %s", log.String())
	}
	if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := heard.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if n, err := heard.Read(line); err != nil || string(line[:n]) != "alive\n" {
		t.Errorf("%q, %v", line[:n], err)
	}
	f.Close(t.Context())
}

// A start that hangs when the daemon ends does not take the time of the stop behind it.
func TestAHangingStartDoesNotLoseItsStop(t *testing.T) {
	out := filepath.Join(t.TempDir(), "calls")
	var log bytes.Buffer
	f := NewFallbackCommands(slog.New(slog.NewTextHandler(&log, nil)), false)
	command := "f() { echo $1 >>" + out + "; [ $1 = stop ] || while :; do sleep 60; done; }; f"
	f.Take([]state.Transition{
		{Change: state.FallbackStarted, Command: command}, {Change: state.FallbackStopped, Command: command},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	f.Close(ctx)
	if got, err := os.ReadFile(out); err != nil || string(got) != "start\nstop\n" || ctx.Err() != nil {
		t.Errorf("%q, %v, log: %s", got, err, &log)
	}
}
