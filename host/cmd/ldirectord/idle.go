package main

import (
	"cmp"
	"slices"

	"github.com/ldirectord/ldirectord/config"
)

// idle are directives that are read and checked, but that this version does not act on.
var idle = []string{
	"autoreload", "callback", "execute", "maintenancedir", "monitorfile",
	"emailalert", "emailalertfrom", "emailalertfreq", "emailalertstatus", "smtp",
	"notifycommand", "webhook",
}

// idleDirectives warns of what a configuration relies on in vain: silence would let an
// operator wait for mails that never come.
func idleDirectives(cfg *config.Config) []config.Problem {
	at := map[config.Pos]string{}
	collect := func(origins map[string]config.Pos) {
		for _, name := range idle {
			if pos, ok := origins[name]; ok && pos.Line > 0 {
				at[pos] = name
			}
		}
	}
	collect(cfg.Global.Origins)
	for i := range cfg.Services {
		collect(cfg.Services[i].Origins)
	}
	out := make([]config.Problem, 0, len(at))
	for pos, name := range at {
		out = append(out, config.Problem{Pos: pos, Directive: name, Want: "accepted, but this version does not act on it"})
	}
	slices.SortFunc(out, func(a, b config.Problem) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	return out
}
