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

func mustPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

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

func TestLanguage(t *testing.T) { tryAll(t, "testdata/language.txtar") }
func TestVerdicts(t *testing.T) { tryAll(t, "testdata/verdicts.txtar") }

// tryAll runs the scripts of an archive, each twice: what a run leaves behind is nothing to the next.
func tryAll(t *testing.T, path string) {
	c := lua.New(lua.Options{})
	for _, w := range scripts(t, path) {
		t.Run(w.name, func(t *testing.T) {
			for range 2 {
				v := run(t, c, w.script, 10*time.Second)
				if w.statuses != v.Status.String() || !w.reason.MatchString(v.Reason) {
					t.Errorf("got %v %q, want %s %q", v.Status, v.Reason, w.statuses, w.reason)
				}
			}
		})
	}
}

func TestServiceIsTheKind(t *testing.T) {
	unnamed := target
	unnamed.Service = ""
	v := lua.New(lua.Options{}).Probe(t.Context(), unnamed, sdk.Options{"lua": `return true, ld.service`})
	if v.Reason != "external-lua" {
		t.Errorf("ld.service is %q", v.Reason)
	}
}

func TestVerdictsInFull(t *testing.T) {
	c := lua.New(lua.Options{})
	tests := []struct {
		script string
		code   sdk.Code
		weight int // -1: none
	}{
		{`return true`, sdk.CodeOK, -1},
		{`return ld.up({weight = 0})`, sdk.CodeOK, 0},
		{`return ld.up("x", {weight = 65535})`, sdk.CodeOK, 65535},
		{`return ld.up("x", {})`, sdk.CodeOK, -1},
		{`return ld.down("l7-role", "replica", {weight = 3})`, "l7-role", 3},
		{`return ld.down("replica")`, sdk.CodeStatus, -1},
		{`return 1`, sdk.CodeStatus, -1},
		{`error("x")`, sdk.CodeProtocol, -1},
		{`while true do end`, sdk.CodeTimeout, -1},
		{`return ld.unknown()`, sdk.CodeFault, -1},
		{`return ("x"):rep(1e9)`, sdk.CodeFault, -1},
	}
	for _, tt := range tests {
		v := run(t, c, tt.script, 100*time.Millisecond)
		weight := -1
		if v.Weight != nil {
			weight = *v.Weight
		}
		if v.Code != tt.code || weight != tt.weight || len(v.Phases) == 0 {
			t.Errorf("%s: got %+v with weight %d, want %q and %d", tt.script, v, weight, tt.code, tt.weight)
		}
	}
}
