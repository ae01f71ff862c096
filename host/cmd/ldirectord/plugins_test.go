package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/config"
)

func testKinds(t *testing.T) *kinds {
	t.Helper()
	k := newKinds(t.TempDir(), slog.New(slog.DiscardHandler))
	k.open(t.TempDir(), "")
	t.Cleanup(func() { k.close(context.Background()) })
	return k
}

func TestLookup(t *testing.T) {
	k := testKinds(t)
	if info, err := k.Lookup("connect"); err != nil || info.Network != "tcp" {
		t.Errorf("connect: got %+v, %v", info, err)
	}
	if _, err := k.Lookup("nosuch"); !errors.Is(err, config.ErrUnknownService) || !strings.Contains(err.Error(), "ldirectord-check-nosuch in "+k.dir) {
		t.Errorf("nosuch: got %v", err)
	}
	// One of ours that is missing is an installation with a hole, not an unknown word.
	if _, err := k.Lookup("https"); err == nil || errors.Is(err, config.ErrUnknownService) || !strings.Contains(err.Error(), "ldirectord-check-https in "+k.dir) {
		t.Errorf("https: got %v", err)
	}
}

func TestPluginDirs(t *testing.T) {
	t.Setenv("LDIRECTORD_PLUGIN_PATH", "/a:relative:/b")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/configured", "/a", "/b", filepath.Join(filepath.Dir(self), "plugins"),
		"/usr/local/lib/ldirectord/plugins", "/usr/lib/ldirectord/plugins",
	}
	if got := pluginDirs("/configured"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnresolved(t *testing.T) {
	cfg := &config.Config{Services: []config.Service{
		{Unresolved: true},
		{Fallback: &config.Fallback{Unresolved: true}, Servers: []config.Server{{}, {Unresolved: true}}},
	}}
	if got := unresolved(cfg); got != 3 {
		t.Errorf("got %d, want 3", got)
	}
}
