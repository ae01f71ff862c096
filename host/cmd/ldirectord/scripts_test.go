package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/config"
)

// loadText reads a configuration of the test's.
func loadText(t *testing.T, text string) (path string, cfg *config.Config, err error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "web.cf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err = load(t.Context(), &config.Loader{OpenCatalog: testKinds(t).open}, path)
	return path, cfg, err
}

func TestScriptsThatCannotBeRun(t *testing.T) {
	text := "virtual = 10.0.0.1:80\n\treal = 10.0.0.2:80 gate\n\tchecktype = external\n\tcheckcommand = /no/such/check\n" +
		"virtual = 10.0.0.1:81\n\treal = 10.0.0.2:80 gate\n\tchecktype = external-perl\n\tcheckcommand = \"/etc/passwd 'x\"\n" +
		"virtual = 10.0.0.1:82\n\treal = 10.0.0.2:80 gate\n\tchecktype = external\n\tcheckcommand = /etc/passwd\n" +
		"virtual = 10.0.0.1:83\n\treal = 10.0.0.2:80 gate\n\tchecktype = external-perl\n\tcheckcommand = \"/etc/passwd x\"\n" +
		"virtual = 10.0.0.1:84\n\treal = 10.0.0.2:80 gate\n\tchecktype = external\n"
	path, cfg, err := loadText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range cfg.Warnings {
		if w.Directive == "checkcommand" {
			got = append(got, strings.TrimPrefix(w.String(), path))
		}
	}
	want := []string{
		":4:2: checkcommand: cannot be run: stat /no/such/check: no such file or directory",
		":8:2: checkcommand: cannot be run: the quote ' is not closed",
		":12:2: checkcommand: cannot be run: /etc/passwd is not executable",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExternalUserMustExist(t *testing.T) {
	text := "externaluser = nobody-at-all\nvirtual = 10.0.0.1:80\n\treal = 10.0.0.2:80 gate\n\tchecktype = "
	path, _, err := loadText(t, text+"external\n")
	bad, ok := errors.AsType[*config.Errors](err)
	if !ok || len(bad.Problems) != 1 || bad.Problems[0].String() != path+":1:1: externaluser: user: unknown user nobody-at-all" {
		t.Errorf("got %v", err)
	}
	if _, _, err := loadText(t, text+"connect\n"); err != nil {
		t.Errorf("nothing runs as that user: %v", err)
	}
}
