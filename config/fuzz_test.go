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

// FuzzValues puts text where values stand, quotes and comments included, so that what Dump
// makes of the oddest ones is tried.
func FuzzValues(f *testing.F) {
	for _, v := range []string{
		`"a"`, `a`, `"a"b"`, `"a" # b"`, `"<a href="#x">" # y`, `x"y # z"`, `"x "a" # b"`, `"A" and "B"`, `a # "b"`, `""`,
		`5 "a", "b" l:2 u:5`, `"a" "b # c"`, `"a",", "b"`, `"x"", "y"`, `"a""b"`, `"a, b"`, `"a"x,#b"`, `"#1" <a@b>`, `5" # x`,
		`"a" , "b"#" "u:5"`, `1 "a b" "<u:1>"`, `"a", "", "b"`, `"\", "\""`, `a,b , c`, `<<END`, `""# #"`,
	} {
		f.Add(v, v, v)
	}
	f.Fuzz(func(t *testing.T, text, pair, list string) {
		if strings.ContainsAny(text+pair+list, "\n") {
			return // one line each
		}
		real := "    real=10.0.0.2:80 gate " + pair + "\n"
		inputs := []string{"virtual=10.0.0.1:80\n" + real, "virtual=10.0.0.1:7777\n    receive=" + text + "\n    service=banner\n" + real}
		for _, name := range []string{"callback", "emailalertfrom", "emailalert", "execute", "pluginuser", "logfile"} {
			inputs = append(inputs, name+"="+text+"\n")
		}
		for _, name := range []string{"emailalert", "receive", "option.depth", "option.token", "comment", "servicename", "smtp", "fallbackcommand"} {
			inputs = append(inputs, "virtual=10.0.0.1:7777\n    service=banner\n    "+name+"="+list+"\n")
		}
		for _, in := range inputs {
			if c, err := fakeLoader().Parse(t.Context(), "fuzz.cf", []byte(in)); err == nil {
				roundTrip(t, c, in)
			}
		}
	})
}
