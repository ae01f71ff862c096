package examples

import (
	"path/filepath"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// The Redis example is a module of its own, with tests of its own; here it is built, too,
// and run by the director's pool.
func TestRedis(t *testing.T) {
	folder := filepath.Join(repository(t), "docs/examples/redis")
	t.Run("its own tests", func(t *testing.T) {
		run(t, folder, "go", "vet", "./...")
		run(t, folder, "go", "test", "./...")
	})
	dir := pluginDir(t)
	run(t, folder, "go", "build", "-o", filepath.Join(dir, "ldirectord-check-redis"), ".")
	h := newHost(t, dir, "redis")
	for _, c := range []checkCase{
		{"an answer", nil, sdktest.Lines("+PONG"), "up", ""},
		{"a login", sdk.Options{"passwd": "sesame"}, sdktest.Lines("-WRONGPASS sesame"), "down l7-auth", "WRONGPASS ***"},
		{"refused", nil, nil, "down l4-refused", "connection refused"},
		{"silent", nil, sdktest.Silent(), "down l7-timeout", ""},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}
