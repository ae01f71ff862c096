package main

import "github.com/ldirectord/ldirectord/config"

// idle are directives that are read and checked, but that this version does not act on.
var idle = []string{
	"monitorfile",
	"emailalert", "emailalertfrom", "emailalertfreq", "emailalertstatus", "smtp",
	"notifycommand", "webhook",
}

// idleDirectives warns of what a configuration relies on in vain: silence would let an
// operator wait for mails that never come. What only says the default again relies on nothing.
func idleDirectives(cfg *config.Config) []config.Problem {
	at := map[config.Pos]string{}
	collect := func(origins map[string]config.Pos, plain map[string]bool) {
		for _, name := range idle {
			if pos, ok := origins[name]; ok && pos.Line > 0 && !plain[name] {
				at[pos] = name
			}
		}
	}
	collect(cfg.Global.Origins, map[string]bool{"emailalertfreq": true, "emailalertstatus": true})
	for i := range cfg.Services {
		s := &cfg.Services[i]
		collect(s.Origins, map[string]bool{"emailalertfreq": s.EmailFreq == 0, "emailalertstatus": s.EmailStatus == config.EmailAll})
	}
	out := make([]config.Problem, 0, len(at))
	for pos, name := range at {
		out = append(out, config.Problem{Pos: pos, Directive: name, Want: "accepted, but this version does not act on it"})
	}
	return out
}
