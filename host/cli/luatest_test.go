package cli

import (
	"strings"
	"testing"
)

func TestLuaReport(t *testing.T) {
	var r LuaReport
	r.Add(LuaResult{Script: "a.lua", Recording: "a.lua.d/up.rec", Seconds: 0.00125})
	r.Add(LuaResult{Script: "a.lua", Recording: "a.lua.d/down.rec", Problems: []string{"came to up\x1b", "instead of down"}})
	r.Add(LuaResult{Script: "b.lua", Problems: []string{"no recordings"}})
	var out strings.Builder
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	const want = `ok    a.lua  up.rec  (1.25ms)
FAIL  a.lua  down.rec  (0s)
      came to up\x1b
      instead of down
FAIL  b.lua
      no recordings
1 passed, 2 failed
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := r.JSON(&out); err != nil || !strings.Contains(out.String(), `"failed": 2`) {
		t.Errorf("%v %s", err, out.String())
	}
}
