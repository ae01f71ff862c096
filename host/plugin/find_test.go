package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// directory makes one with the named empty files, executable.
func directory(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != os.TempDir(); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestServicesByNameOnly(t *testing.T) {
	a := directory(t, prefix+"http", prefix+"smtp", "README", prefix+"", prefix+"Upper")
	b := directory(t, prefix+"http", prefix+"dns")
	if err := os.Mkdir(filepath.Join(b, prefix+"dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, _ := newPool(t, func(o *Options) { o.Dirs = []string{a, "/nonexistent", b} })
	if got, want := p.Services(), []string{"dns", "http", "smtp"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if path, err := p.Find("http"); err != nil || path != filepath.Join(a, prefix+"http") {
		t.Errorf("an earlier directory shadows a later one: %s, %v", path, err)
	}
	for _, name := range []string{"nntp", "../x", ""} {
		_, err := p.Find(name)
		if !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%q: %v", name, err)
		}
		if name == "nntp" && (!strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), b)) {
			t.Errorf("names no directories: %v", err)
		}
	}
}

func TestFindRefuses(t *testing.T) {
	tests := map[string]struct {
		spoil func(dir, file string) error
		says  string
		root  bool // only refused for root
	}{
		"not executable":     {func(_, f string) error { return os.Chmod(f, 0o644) }, "not executable", false},
		"dangling link":      {func(_, f string) error { return errors.Join(os.Remove(f), os.Symlink("gone", f)) }, "no such file", false},
		"directory":          {func(_, f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o755)) }, "not a regular file", false},
		"writable by group":  {func(_, f string) error { return os.Chmod(f, 0o775) }, "writable by others", true},
		"writable by others": {func(_, f string) error { return os.Chmod(f, 0o757) }, "writable by others", true},
		"writable directory": {func(d, _ string) error { return os.Chmod(d, 0o777) }, "writable by others", true},
		"sticky directory":   {func(d, _ string) error { return os.Chmod(d, 0o777|os.ModeSticky) }, "writable by others", true},
		"writable parent":    {func(d, _ string) error { return os.Chmod(filepath.Dir(d), 0o777) }, "writable by others", true},
		"not root's":         {func(_, f string) error { return os.Chown(f, 65534, 0) }, "does not belong to root", true},
		"directory not root's": {
			func(d, _ string) error { return os.Chown(d, 65534, 0) }, "does not belong to root", true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Log("NOT ROOT: nothing was tried")
				if os.Getenv("CI") == "true" {
					t.Error("must be root in CI")
				}
				return
			}
			dir := directory(t, prefix+"x")
			p, _ := newPool(t, func(o *Options) { o.Dirs = []string{dir} })
			if _, err := p.Find("x"); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := tt.spoil(dir, filepath.Join(dir, prefix+"x")); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Find("x"); err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), dir[:len(dir)-4]) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func TestUnknownUser(t *testing.T) {
	if _, err := credential("nobody-has-this-name"); err == nil || !strings.Contains(err.Error(), "nobody-has-this-name") {
		t.Errorf("got %v", err)
	}
	if c, err := credential(""); err != nil || c.Uid == 0 {
		t.Errorf("default: %+v, %v", c, err)
	}
}

// An upgraded binary answers questions at once, and runs checks after Refresh.
func TestRefresh(t *testing.T) {
	dir := directory(t)
	file := filepath.Join(dir, prefix+"good")
	if err := os.Link(filepath.Join(plugins, prefix+"good"), file); err != nil {
		t.Fatal(err)
	}
	p, _ := newPool(t, func(o *Options) { o.Dirs = []string{dir} })
	r := runner(t, p, "good")
	r.Register(1, target("good"), nil)
	r.Start(due(5*time.Second, 1))
	collect(t, r, 1)
	before := p.Status()[0].PID
	p.Refresh()
	if p.Status()[0].PID != before {
		t.Error("nothing changed, yet it was restarted")
	}
	if err := replace(file); err != nil {
		t.Fatal(err)
	}
	if info, err := p.Describe(t.Context(), "good"); err != nil || info.Version != "two" {
		t.Errorf("%+v, %v", info, err)
	}
	if s := p.Status(); len(s) != 1 || s[0].PID != before || s[0].Version != "1" {
		t.Errorf("asking the new binary must not touch the old process: %+v", s)
	}
	p.Refresh()
	if _, ok := <-r.Results(); ok {
		t.Error("the old runner goes on")
	}
	r = runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "up"})
	r.Start(due(5*time.Second, 1))
	if v := collect(t, r, 1)[1]; !isUp(v) || p.Status()[0].PID == before || p.Status()[0].Version != "two" {
		t.Errorf("%+v, %+v", v, p.Status())
	}
}

// replace puts another version in file's place, as package tools do.
func replace(file string) error {
	if err := copyFile(filepath.Join(plugins, prefix+"good"), file+".new"); err != nil {
		return err
	}
	f, err := os.OpenFile(file+".new", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(upgrade)
	return errors.Join(err, f.Close(), os.Rename(file+".new", file))
}
