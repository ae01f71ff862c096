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
	"time"
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
	o := NewOthers(path, "a.cf", nil, slog.New(slog.NewTextHandler(&log, nil)))
	o.Set([]string{"a.cf"}, nil)
	o.Wait(context.Background())
	o.Set([]string{"a.cf"}, nil)
	o.Wait(context.Background())
	o.Set([]string{"bad.cf"}, nil)
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

// An instance whose start failed is started by the next reload: what was wrong may be mended.
func TestOthersAreStartedAfterAll(t *testing.T) {
	path, calls := program(t, `[ "$3" != start ] || [ -e "$0.mended" ]`)
	o := NewOthers(path, "a.cf", nil, slog.New(slog.DiscardHandler))
	for range 2 {
		o.Set([]string{"b.cf"}, nil)
		o.Wait(context.Background())
	}
	if err := os.WriteFile(path+".mended", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o.Set([]string{"b.cf"}, nil)
		o.Wait(context.Background())
	}
	if got := said(t, calls); got != "-- b.cf start;-- b.cf start;-- b.cf start;-- b.cf reload;" {
		t.Errorf("commands %s", got)
	}
}

// Instances that name each other: a reload is not passed back to where it came from, nor a stop to who started us.
func TestOthersThatNameEachOther(t *testing.T) {
	path, calls := program(t, `echo "$LDIRECTORD_ALONG" >>"$0.along"`)
	t.Setenv(alongVariable, "z.cf/y.cf")
	o := NewOthers(path, "a.cf", TakeAlong(), slog.New(slog.DiscardHandler))
	for _, via := range [][]string{nil, nil, {"y.cf"}, {"y.cf", "b.cf"}} {
		o.Set([]string{"/etc/b.cf", "y.cf"}, via)
		o.Wait(context.Background())
	}
	o.Stop()
	o.Wait(context.Background())
	count := func(command string) int { return strings.Count(said(t, calls), command) }
	if got := said(t, calls); count("start;") != 2 || count("-- y.cf reload;") != 1 || count("-- /etc/b.cf reload;") != 2 || !strings.HasSuffix(got, "reload;-- /etc/b.cf stop;") {
		t.Errorf("commands %s", got)
	}
	want := "z.cf/y.cf/a.cf;z.cf/y.cf/a.cf;a.cf;a.cf;y.cf/a.cf;a.cf;"
	if got := said(t, path+".along"); got != want {
		t.Errorf("came along %s, want %s", got, want)
	}
	if got := TakeAlong(); got != nil {
		t.Errorf("what we start inherits %q", got)
	}
}

// An instance that stays in the foreground is stopped all the same, after a while, and delays nobody else.
func TestOthersInTheForeground(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	path, calls := program(t, `case $3 in
		start) [ -p `+gate+` ] || mkfifo `+gate+`; read -r line <`+gate+`;;
		stop) until [ -p `+gate+` ]; do :; done; echo >`+gate+`;;
	esac`)
	o := NewOthers(path, "a.cf", nil, slog.New(slog.DiscardHandler))
	o.settle = 0
	o.Set([]string{"a.cf"}, nil)
	o.Stop()
	o.Wait(context.Background())
	if got := said(t, calls); len(got) != len("-- a.cf start;-- a.cf stop;") {
		t.Errorf("commands %s", got)
	}
}

// One that has just been started in the foreground is told to end, too: nobody waits for its start when we end.
func TestOthersThatHaveNotStartedYet(t *testing.T) {
	path, calls := program(t, `[ $3 != start ] || exec sleep 1000`)
	o := NewOthers(path, "a.cf", nil, slog.New(slog.DiscardHandler))
	o.hurry = 100 * time.Millisecond
	o.Set([]string{"b.cf"}, nil)
	o.Set([]string{"b.cf"}, nil) // waits for the start to settle
	o.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	o.Wait(ctx)
	if got := said(t, calls); !strings.HasSuffix(got, "-- b.cf stop;") || ctx.Err() != nil {
		t.Errorf("commands %s", got)
	}
}
