package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse reads any bytes: nothing panics, every problem stands at a place of the file, and
// what parses can be written so that it reads back to the same.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if file.Name == "input" || file.Name == "secrets" {
				f.Add(file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := fakeLoader()
		l.maxRange, l.maxServers = 64, 1024
		c, err := l.Parse(t.Context(), "fuzz.cf", data)
		lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
		var all *Errors
		switch {
		case errors.As(err, &all):
			if len(all.Problems) == 0 {
				t.Fatal("errors without a problem")
			}
			checkPlaces(t, lines, all.Problems)
			checkPlaces(t, lines, all.Warnings)
		case err != nil:
			t.Fatal(err)
		default:
			checkPlaces(t, lines, c.Warnings)
			roundTrip(t, c, string(data))
		}
	})
}

func checkPlaces(t *testing.T, lines []string, problems []Problem) {
	t.Helper()
	last := 0
	for _, p := range problems {
		if p.Pos.Line < 1 || p.Pos.Line > len(lines) || p.Pos.Col < 1 || p.Pos.Col > len(lines[p.Pos.Line-1])+1 {
			t.Fatalf("no such place: %s", p)
		}
		if p.Pos.Line < last {
			t.Fatalf("not in the order of the file: %s", p)
		}
		last = p.Pos.Line
		if p.Want == "" || strings.ContainsAny(p.String(), "\n\x00\x1b") {
			t.Fatalf("bad message %q", p.String())
		}
	}
}
