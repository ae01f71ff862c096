package cli

import (
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/config"
)

// TestConfigtestSaysGood has one line on standard output for a good file, and none beside a dump or for a bad one.
func TestConfigtestSaysGood(t *testing.T) {
	warned := []config.Problem{{Pos: config.Pos{File: "/etc/ha.d/web.cf", Line: 2, Col: 1}, Directive: "ops", Want: "has no effect"}}
	cfg := &config.Config{File: "/etc/ha.d/web.cf", Warnings: warned,
		Services: []config.Service{{Servers: make([]config.Server, 3)}, {Servers: make([]config.Server, 1)}}}
	for _, c := range []struct {
		report   ConfigReport
		out, err string
	}{
		{ConfigReport{Config: cfg}, "/etc/ha.d/web.cf: no errors, 1 warning; 2 virtual services, 4 real servers\n",
			"warning: /etc/ha.d/web.cf:2:1: ops: has no effect\n"},
		{ConfigReport{Errors: &config.Errors{Problems: warned}}, "", "/etc/ha.d/web.cf:2:1: ops: has no effect\n"},
	} {
		var out, err strings.Builder
		if e := c.report.Text(&out, &err); e != nil || out.String() != c.out || err.String() != c.err {
			t.Errorf("%q, %q, %v; want %q, %q", out.String(), err.String(), e, c.out, c.err)
		}
	}
	var out, err strings.Builder
	if e := (ConfigReport{Config: cfg, Migrate: true}).Text(&out, &err); e != nil || strings.Contains(out.String(), "no errors") {
		t.Errorf("%q, %v", out.String(), e)
	}
}
