package lua_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/sdk"
)

// crowds are scripts of which many run at once, as one script does for many real servers.
var crowds = map[string]struct {
	script string
	status sdk.Status
	says   string
}{
	"loops":   {`while true do end`, sdk.StatusDown, "deadline"},
	"tables":  {`local all = {} while true do all[{}] = {} end`, sdk.StatusUnknown, "memory"},
	"strings": {`local all = {} for i = 1, 1e12 do all["k" .. i] = ("x"):rep(2^22) .. i end`, sdk.StatusUnknown, "memory"},
	"arrays":  {`local all = {} for i = 1, 1e12 do local t = {} t[131000] = 1 all["k" .. i] = t end`, sdk.StatusUnknown, "memory"},
	"garbage": {`while true do local t = {} for i = 1, 1000 do t[i] = {} end end`, sdk.StatusDown, "deadline"},
	"gsub":    {`while true do pcall(string.gsub, ("a"):rep(300), ".-.-b", "") end`, sdk.StatusDown, "deadline"},
}

func TestCrowds(t *testing.T) {
	c := lua.New(lua.Options{})
	for name, crowd := range crowds {
		t.Run(name, func(t *testing.T) {
			about := watch(t, c)
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					began := time.Now()
					v := run(t, c, crowd.script, time.Second)
					starved := v.Status == sdk.StatusUnknown && strings.Contains(v.Reason, "went to other scripts")
					slow := v.Status == sdk.StatusDown && strings.Contains(v.Reason, "deadline") // a busy machine's
					if !starved && !slow && (v.Status != crowd.status || !strings.Contains(v.Reason, crowd.says)) {
						t.Errorf("got %v %q", v.Status, v.Reason)
					}
					if took := time.Since(began); took > 5*time.Second {
						t.Errorf("it took %v", took)
					}
				})
			}
			all.Wait()
			about.stop()
			t.Logf("heap grew by %d MiB, another check took %v of %d", about.heap>>20, about.late, about.runs)
			if about.heap > growth || about.late > 2*time.Second { // a busy machine is late
				t.Errorf("the heap grew by %d MiB, another check took %v", about.heap>>20, about.late)
			}
		})
	}
}
