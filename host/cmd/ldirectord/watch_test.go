package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestFileWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.cf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte("one"))
	w := fileWatch{path: path, known: sum, seen: sum, running: sum}
	for i, step := range []struct {
		text string // "": as it is
		gone bool
		news bool
		read string // what somebody had read meanwhile, and runs from now on
	}{
		{text: "one"},
		{},
		{text: "two"}, // it may be half of what is coming
		{text: "two and three"},
		{news: true},
		{},
		{gone: true}, // an editor is renaming
		{text: "two and three"},
		{},
		{text: "one"},
		{news: true}, // an older content is news as well
		{text: "two"},
		{text: "one"}, // there and back
		{},
		{text: "two", read: "two"},
		{text: "one"}, // back, but it is not what is running
		{news: true},
		{read: "one"},
		{},
		{text: " \n"}, // what a full disk leaves
		{},
		{text: "one"},
		{},
	} {
		if step.gone {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if step.text != "" {
			// The time stamp stays what it was: it must not matter.
			write(step.text)
			if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if step.read != "" {
			sum = sha256.Sum256([]byte(step.read))
		}
		if news := w.look(sum); news != step.news {
			t.Errorf("look %d: %v, want %v", i, news, step.news)
		}
	}
}

func TestLookEvery(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		time.Second: 250 * time.Millisecond, 10 * time.Second: time.Second, time.Hour: time.Second,
	} {
		if got := lookEvery(interval); got != want || 2*got > interval {
			t.Errorf("checkinterval %v: looks every %v", interval, got)
		}
	}
}

// What would keep us waiting in the place of the file is nothing that is read.
func TestAPipeIsNoNews(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.cf")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w := fileWatch{path: path}
	if w.look(w.known) {
		t.Error("a pipe is news")
	}
}
