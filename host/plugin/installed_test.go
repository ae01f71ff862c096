package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstalled(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	put := func(dir, service string, mode os.FileMode) string {
		path := filepath.Join(dir, prefix+service)
		if err := os.WriteFile(path, []byte("#!/bin/sh\ntouch "+filepath.Join(dir, "executed")+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := put(first, "one", 0o755)
	both := put(first, "both", 0o644)
	shadowed := put(second, "both", 0o755)
	put(second, "Odd Name", 0o755)
	link := filepath.Join(second, prefix+"link")
	dangling := filepath.Join(second, prefix+"nowhere")
	for name, to := range map[string]string{link: one, dangling: "/nonexistent/plugin"} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	p := New(Options{Dirs: []string{first, "/nonexistent", second, second}})
	t.Cleanup(func() { p.Close(t.Context()) })
	want := []struct{ service, path, real, shadow, err string }{
		{"both", both, both, "", "not executable"},
		{"one", one, one, "", ""},
		{"both", shadowed, shadowed, both, ""},
		{"link", link, one, "", ""},
		{"nowhere", dangling, "", "", "no such file"},
	}
	got := p.Installed()
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, w := range want {
		g := got[i]
		if g.Service != w.service || g.Path != w.path || g.Real != w.real || g.Shadow != w.shadow {
			t.Errorf("got %+v, want %+v", g, w)
		}
		if (g.Err != nil) != (w.err != "") || g.Err != nil && !strings.Contains(g.Err.Error(), w.err) {
			t.Errorf("%s: got %v, want %q", w.path, g.Err, w.err)
		}
	}
	for _, dir := range []string{first, second} {
		if _, err := os.Stat(filepath.Join(dir, "executed")); err == nil {
			t.Error("a plugin was executed")
		}
	}
	if err := p.Inspect(both); err == nil || !strings.Contains(err.Error(), "not executable") {
		t.Errorf("got %v", err)
	}
}
