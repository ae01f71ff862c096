package lua_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/sdk"
)

var target = sdk.Target{
	Addr: netip.MustParseAddrPort("192.0.2.2:8080"), Virtual: netip.MustParseAddrPort("192.0.2.1:80"), Network: "tcp",
}

// run runs an inline script once.
func run(t testing.TB, c sdk.Checker, script string, timeout time.Duration) sdk.Verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return c.Probe(ctx, target, sdk.Options{"lua": script})
}

func BenchmarkCall(b *testing.B) {
	c := lua.New(lua.Options{})
	scripts := map[string]string{
		"empty":   "-- nothing",
		"locals":  `local a = 0 for i = 1, 100 do a = a + i end return a > 0`,
		"globals": `function helper(x) return x .. "!" end reason = helper("fine") return true, reason`,
		"library": `function string.trim(s) return s:match("^%s*(.-)%s*$") end return (" x "):trim() == "x"`,
	}
	for name, script := range scripts {
		b.Run(name, func(b *testing.B) {
			probe, err := c.(sdk.Preparer).Prepare("", sdk.Options{"lua": script})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if v := probe(ctx, target); v.Status != sdk.StatusUp {
					b.Fatal(v)
				}
			}
		})
	}
}
