package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
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
	log := NewLog(&out, LogOptions{Instance: "web.cf", Pid: 42, Level: slog.LevelInfo}).Logger()
	log.Debug("not shown")
	log.With("virtual", "tcp:10.0.0.1:80").WithGroup("check").Info("Added real server: 10.0.0.2:80",
		"reason", "forged\n[Sun] line \x1b[2J", "empty", "", slog.Group("phase", "connect", "2ms"))
	log.Error("kernel refused an edit")
	want := regexp.MustCompile(`^\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\|web\.cf\|42\] ` +
		`Added real server: 10\.0\.0\.2:80 virtual=tcp:10\.0\.0\.1:80 check\.reason="forged\\n\[Sun\] line \\x1b\[2J" check\.phase\.connect=2ms` + "\n" +
		`\[[^]]*\] ERROR: kernel refused an edit` + "\n$")
	if !want.MatchString(out.String()) {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestLogSupervisedHasTimeOnly(t *testing.T) {
	var out bytes.Buffer
	NewLog(&out, LogOptions{}).Logger().Info("text")
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
	if early.Len() > 0 || !strings.HasSuffix(late.String(), "|web.cf|1] now plugin=http\n") {
		t.Errorf("got %q, then %q", early.String(), late.String())
	}
}

func TestLogJSON(t *testing.T) {
	var out bytes.Buffer
	log := NewLog(&out, LogOptions{Instance: "web.cf", Pid: 42, JSON: true}).Logger()
	log.Warn("Deleted real server", "n", 3, "reason", errors.New("a\nb"))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["msg"] != "Deleted real server" || got["n"] != 3.0 || got["reason"] != "a\nb" || got["level"] != "warn" || got["instance"] != "web.cf" {
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

func TestOpenLogRefusesUnknownFacility(t *testing.T) {
	if _, err := OpenLog("local9"); err == nil || !strings.Contains(err.Error(), "local9") {
		t.Errorf("got %v", err)
	}
}
