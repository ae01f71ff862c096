package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogLine(t *testing.T) {
	var out bytes.Buffer
	sink := NewLog(&out, LogOptions{Instance: "web.cf", Pid: 42, Level: slog.LevelInfo})
	log := sink.Logger()
	log.Debug("not shown")
	log.With("virtual", "tcp:10.0.0.1:80").WithGroup("check").Info("Added real server: 10.0.0.2:80",
		"reason", "forged\n[Sun] line \x1b[2J", "empty", "", slog.Group("phase", "connect", "2ms"))
	log.Error("kernel refused an edit", "forged\n[Sun] key", 1)
	sink.Close(t.Context())
	want := regexp.MustCompile(`^\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\|web\.cf\|42\] ` +
		`Added real server: 10\.0\.0\.2:80 virtual=tcp:10\.0\.0\.1:80 check\.reason="forged\\n\[Sun\] line \\x1b\[2J" check\.phase\.connect=2ms` + "\n" +
		`\[[^]]*\] ERROR: kernel refused an edit forged__Sun__key=1` + "\n$")
	if !want.MatchString(out.String()) {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestLogSupervisedHasTimeOnly(t *testing.T) {
	var out bytes.Buffer
	log := NewLog(&out, LogOptions{})
	log.Logger().Info("text")
	log.Close(t.Context())
	if !regexp.MustCompile(`^\[[^|\]]*\] text\n$`).MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
}

func TestLogRedirect(t *testing.T) {
	var early, late bytes.Buffer
	log := NewLog(&early, LogOptions{Level: slog.LevelWarn})
	logger := log.Logger().With("plugin", "http")
	logger.Info("not yet")
	log.Redirect(&late, LogOptions{Instance: "web.cf", Pid: 1})
	logger.Info("now")
	log.Close(t.Context())
	if early.Len() > 0 || !strings.HasSuffix(late.String(), "|web.cf|1] now plugin=http\n") {
		t.Errorf("got %q, then %q", early.String(), late.String())
	}
}

// TestLogThatNobodyReads shows that a pipe that is full delays nobody, and what is said of it.
func TestLogThatNobodyReads(t *testing.T) {
	read, write := io.Pipe()
	log := NewLog(write, LogOptions{})
	logger := log.Logger()
	for range waitingLines + 100 {
		logger.Info("line")
	}
	got := make(chan string)
	go func() {
		text, _ := io.ReadAll(read)
		got <- string(text)
	}()
	log.Close(t.Context())
	write.Close()
	text := <-got
	// One line or none was already on its way to the pipe.
	if n := strings.Count(text, "] line\n"); n < waitingLines || n > waitingLines+1 {
		t.Errorf("%d lines were written", n)
	}
	if !strings.Contains(text, "Log lines were dropped") {
		t.Error("the loss is not in the log")
	}
}

func TestLogJSON(t *testing.T) {
	var out bytes.Buffer
	log := NewLog(&out, LogOptions{Instance: "web.cf", Pid: 42, JSON: true})
	log.Logger().Warn("Deleted real server", "n", 3, "reason", errors.New("a\nb"), "msg", "forged")
	log.Close(t.Context())
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["msg"] != "Deleted real server" || got["n"] != 3.0 || got["reason"] != "a\nb" || got["level"] != "warn" || got["instance"] != "web.cf" || got["field.msg"] != "forged" {
		t.Errorf("got %v", got)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain é":         "plain é",
		"bell\a":          `bell\x07`,
		"caf\xe9":         `caf\xe9`,
		"right\u202eleft": `right\xe2\x80\xaeleft`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got := Printable(strings.Repeat("a", 10000)); len(got) != maxLine+3 {
		t.Errorf("a text of 10,000 bytes gives %d", len(got))
	}
}

func TestLogFileFollowsRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	synctest.Test(t, func(t *testing.T) {
		w, err := OpenLog(path)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		write(t, w, "one\n")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		write(t, w, "two\n")
	})
	for name, want := range map[string]string{path + ".1": "one\n", path: "two\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

func write(t *testing.T, w interface{ Write([]byte) (int, error) }, text string) {
	t.Helper()
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// TestOpenLogNeedsNoSyslog: a facility that nobody knows and a syslog that is not there have never
// kept a director from starting.
func TestOpenLogNeedsNoSyslog(t *testing.T) {
	for _, destination := range []string{"local0", "local9"} {
		w, err := OpenLog(destination)
		if err != nil {
			t.Errorf("%s: %v", destination, err)
			continue
		}
		w.Close()
	}
}

func TestOpenLogNamesThePath(t *testing.T) {
	if _, err := OpenLog("/proc/nowhere/log"); err == nil || !strings.Contains(err.Error(), "/proc/nowhere/log") {
		t.Errorf("got %v", err)
	}
}
