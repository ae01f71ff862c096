package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// lines is a log that several goroutines write to.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// program is a stand-in for ldirectord that writes its arguments down.
func program(t *testing.T, body string) (path, calls string) {
	t.Helper()
	dir := t.TempDir()
	path, calls = filepath.Join(dir, "program"), filepath.Join(dir, "calls")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$*\" >>"+calls+"\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, calls
}

func said(t *testing.T, calls string) string {
	t.Helper()
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\n", ";")
}

func TestOthers(t *testing.T) {
	path, calls := program(t, `[ "$2" != bad.cf ] || { echo "no such file" >&2; exit 2; }`)
	var log lines
	o := NewOthers(path, slog.New(slog.NewTextHandler(&log, nil)))
	o.Set([]string{"a.cf"})
	o.Wait(context.Background())
	o.Set([]string{"a.cf"})
	o.Wait(context.Background())
	o.Set([]string{"bad.cf"})
	o.Stop()
	o.Wait(context.Background())
	got := said(t, calls)
	if !strings.HasPrefix(got, "-- a.cf start;-- a.cf reload;") || strings.Count(got, "-- a.cf stop;") != 1 ||
		!strings.Contains(got, "-- bad.cf start;") || strings.Count(got, ";") != 5 ||
		strings.Index(got, "-- bad.cf start;") > strings.Index(got, "-- bad.cf stop;") {
		t.Errorf("commands %s", got)
	}
	if !strings.Contains(log.text.String(), `reason="exit status 2: no such file"`) {
		t.Errorf("log: %s", &log.text)
	}
}

// An instance that stays in the foreground is stopped all the same, after a while, and delays nobody else.
func TestOthersInTheForeground(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	path, calls := program(t, `case $3 in
		start) [ -p `+gate+` ] || mkfifo `+gate+`; read -r line <`+gate+`;;
		stop) until [ -p `+gate+` ]; do :; done; echo >`+gate+`;;
	esac`)
	o := NewOthers(path, slog.New(slog.DiscardHandler))
	o.settle = 0
	o.Set([]string{"a.cf"})
	o.Stop()
	o.Wait(context.Background())
	if got := said(t, calls); len(got) != len("-- a.cf start;-- a.cf stop;") {
		t.Errorf("commands %s", got)
	}
}
