package lua_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/sdk"
)

// TestSecrets: a script may say what it likes, its secrets are seen by nobody, not even half of one.
func TestSecrets(t *testing.T) {
	for _, script := range []string{
		`ld.log("info", "login with " .. ld.option("passwd")) return false`,
		`print(ld.option("secret")) return false`,
		`ld.log(("x"):rep(1020) .. ld.option("passwd")) return false`,
		`error("no: " .. ld.option("passwd"))`,
		`return ld.down("l7-x", ("x"):rep(508) .. ld.option("passwd"))`,
		`return ld.up(ld.option("secret"))`,
	} {
		var log bytes.Buffer
		c := lua.New(lua.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		v := c.Probe(t.Context(), target, sdk.Options{"lua": script, "passwd": "sesame", "secret": "hushhush"})
		if all := log.String() + v.Reason + v.Transcript; strings.Contains(all, "ses") || strings.Contains(all, "hush") || !strings.Contains(all, "***") && !strings.Contains(all, "x...") {
			t.Errorf("%s: %+v\n%s", script, v, log.String())
		}
	}
}
