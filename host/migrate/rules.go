package migrate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
)

// rules returns every way in which a line of a configuration can mean something else. The lines are those of the file.
func rules(lines []string) []rule {
	return slices.Concat(fileRules(), formRules(lines), tableRules(), scriptRules(), webRules(), mailRules(), databaseRules(), otherRules(), alertRules())
}

// fileRules are about the configuration as a whole.
func fileRules() []rule {
	return []rule{
		{name: "start", find: checked,
			was: "a start took every real server out until its first check",
			now: "a start leaves those that are in the table until a check says otherwise"},
		{name: "interval", find: interval,
			was: "checkinterval was a pause after a round in which one check waited for the other",
			now: "from start to start, all checks at once, each with its own timeout"},
		{name: "quiescent-unset", find: quiescentUnset,
			was: "not set was no, whatever its manual said: a server that is down was deleted",
			now: "not set is yes: it stays with weight 0"},
		{name: "autoreload", find: global("autoreload", func(g *config.Global) bool { return g.AutoReload }),
			was: "reloaded a file whose time stamp was newer",
			now: "one whose content is another; a reload can add and remove virtual services"},
		{name: "fork", find: global("fork", func(g *config.Global) bool { return g.Fork }),
			was: "forked a checker for each virtual service",
			now: "gives each virtual service plugin processes of its own; checks run at once with fork = no as well"},
		{name: "maintenance", find: global("maintenancedir", func(g *config.Global) bool { return g.MaintenanceDir != "" }),
			was: "looked for files at each check, after a reverse lookup",
			now: "acts within a second; the first line of a file is the reason"},
		{name: "names", find: names,
			was: "a host name that had no address was an error",
			now: "a warning: what has the name waits, and the rest works"},
	}
}

// checked is the head of a file that has something to check.
func checked(c *config.Config) []spot {
	for i := range c.Services {
		if probes(&c.Services[i]) {
			return []spot{{pos: head(c), directive: "start"}}
		}
	}
	return nil
}

// probes tells whether a section's servers are asked anything.
func probes(s *config.Service) bool {
	switch s.CheckType {
	case config.On, config.Off:
		return false
	case config.Negotiate:
		return s.CheckService != "none" && len(s.Servers) > 0
	default:
		return len(s.Servers) > 0
	}
}

func interval(c *config.Config) []spot {
	if pos, ok := c.Global.Origins["checkinterval"]; ok && len(checked(c)) > 0 {
		return []spot{{pos: pos, directive: "checkinterval"}}
	}
	out := checked(c)
	for i := range out {
		out[i].directive = "checkinterval"
	}
	return out
}

func quiescentUnset(c *config.Config) []spot {
	for i := range c.Services {
		if _, set := c.Services[i].Origins["quiescent"]; !set {
			return []spot{{pos: head(c), directive: "quiescent", keep: []Edit{{Place: Top, Text: "quiescent = no"}}}}
		}
	}
	return nil
}

// global makes a finder of a global directive that is written, and says what is asked.
func global(name string, says func(*config.Global) bool) func(*config.Config) []spot {
	return func(c *config.Config) []spot {
		if pos, ok := c.Global.Origins[name]; ok && says(&c.Global) {
			return []spot{{pos: pos, directive: name}}
		}
		return nil
	}
}

// names finds the lines with host names.
func names(c *config.Config) []spot {
	var out []spot
	for i := range c.Services {
		s := &c.Services[i]
		v6 := ""
		if s.Key.Family == lvs.IPv6 {
			v6 = "6"
		}
		if s.Key.Protocol != lvs.FWM && named(s.Name) {
			out = append(out, spot{pos: s.Pos, directive: "virtual" + v6})
		}
		for _, r := range s.Servers {
			if named(r.Name) {
				out = append(out, spot{pos: r.Pos, directive: "real" + v6})
			}
		}
		if s.Fallback != nil && named(s.Fallback.Name) {
			out = append(out, spot{pos: s.Fallback.Pos, directive: "fallback" + v6})
		}
	}
	return out
}

// named tells whether HOST[:PORT] has a name for a host.
func named(text string) bool {
	if strings.HasPrefix(text, "[") {
		return false
	}
	host, _, _ := strings.Cut(text, ":")
	_, err := netip.ParseAddr(host)
	return err != nil
}

// tableRules are about what stands in the kernel's table.
func tableRules() []rule {
	return []rule{
		{name: "off-fallback", find: services(offFallback),
			was: "checktype = off put the fallback into the table",
			now: "neither real servers nor the fallback"},
		{name: "mark-fallback", find: markFallback,
			was: "the global fallback was not used for firewall marks",
			now: "it is, in every section of its family that has none of its own"},
		{name: "fallback-is-real", find: services(fallbackIsReal),
			was: "when the real server came up, the fallback was taken out and with it the entry of both",
			now: "one entry; the real server rules while it is up"},
		{name: "mark-command", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(s.FallbackCommand != "" && s.Key.Protocol == lvs.FWM, s, "fallbackcommand")
		}),
			was: "fallbackcommand was told :0 for a firewall mark", now: "the mark, as in 5:0"},
		{name: "thresholds", find: services(thresholds),
			was: "a server lost its thresholds when it went quiescent, until the next reload",
			now: "it keeps them"},
		{name: "shared-real", find: sharedReal,
			was: "a server that is down from the start, and is checked in another way in another section, was out of the table",
			now: "it has weight 0 in each"},
		{name: "readdquiescent", find: services(readdQuiescent),
			was: "a server that is down and was removed by hand stayed away, in spite of readdquiescent = yes",
			now: "it is put back with weight 0"},
	}
}

// sharedReal finds real servers of quiescent sections that other sections check in other ways.
func sharedReal(c *config.Config) []spot {
	checks := map[lvs.ServerKey]map[string]bool{}
	each := func(see func(s *config.Service, r *config.Server, check string)) {
		for i := range c.Services {
			s := &c.Services[i]
			for j := range s.Servers {
				if r := &s.Servers[j]; probes(s) {
					see(s, r, checkOf(s, r))
				}
			}
		}
	}
	each(func(_ *config.Service, r *config.Server, check string) {
		if checks[r.Key] == nil {
			checks[r.Key] = map[string]bool{}
		}
		checks[r.Key][check] = true
	})
	var out []spot
	each(func(s *config.Service, r *config.Server, _ string) {
		if _, written := s.Origins["quiescent"]; written && s.Quiescent && len(checks[r.Key]) > 1 {
			out = append(out, spot{pos: r.Pos, directive: "real"})
		}
	})
	return out
}

// checkOf tells the checks of one real server apart. It is never shown: secrets are in it.
func checkOf(s *config.Service, r *config.Server) string {
	switch s.CheckType {
	case config.Negotiate, config.Combined:
		return fmt.Sprint(s.CheckType, s.CheckService, r.CheckAddr, r.Options)
	case config.External, config.ExternalPerl:
		return fmt.Sprint(s.CheckType, s.CheckCommand, r.CheckAddr)
	}
	return fmt.Sprint(s.CheckType, r.CheckAddr)
}

func readdQuiescent(_ *config.Config, s *config.Service) []spot {
	pos, ok := s.Origins["readdquiescent"]
	if !ok || !s.ReaddQuiescent || !s.Quiescent || !probes(s) {
		return nil
	}
	line := "readdquiescent = no"
	if pos.Col > 1 {
		line = indent + line
	}
	return []spot{{pos: pos, directive: "readdquiescent", keep: []Edit{{Instead, pos.Line, line}}}}
}

func offFallback(_ *config.Config, s *config.Service) []spot {
	if s.CheckType != config.Off || s.Fallback == nil {
		return nil
	}
	method := s.Fallback.Server.Method.String()
	real := "real"
	if s.Key.Family == lvs.IPv6 {
		real = "real6"
	}
	out := at(s, "checktype")
	keep := []Edit{{Instead, out[0].pos.Line, indent + "checktype = on"}}
	for _, r := range s.Servers {
		if !slices.ContainsFunc(keep, func(e Edit) bool { return e.Line == r.Pos.Line }) {
			keep = append(keep, Edit{Instead, r.Pos.Line, indent + "# not in the table"})
		}
	}
	out[0].keep = append(keep, Edit{Below, out[0].pos.Line, indent + real + " = " + s.Fallback.Name + " " + method})
	return out
}

// fallbackIsReal finds fallbacks with the entry of a real server.
func fallbackIsReal(_ *config.Config, s *config.Service) []spot {
	if s.Fallback == nil || !slices.ContainsFunc(s.Servers, func(r config.Server) bool { return r.Key == s.Fallback.Key }) {
		return nil
	}
	return []spot{{pos: s.Fallback.Pos, directive: "fallback"}}
}

// markFallback finds the sections for firewall marks that the global fallback serves. Without it they
// are as they were, so it moves into the sections that had it.
func markFallback(c *config.Config) []spot {
	var out []spot
	for i := range c.Services {
		s := &c.Services[i]
		if s.Key.Protocol != lvs.FWM || !fromGlobal(s.Fallback) {
			continue
		}
		name := "fallback"
		if s.Key.Family == lvs.IPv6 {
			name = "fallback6"
		}
		f := s.Fallback
		keep := []Edit{{Instead, f.Pos.Line, "# " + name + " is in the sections"}}
		for j := range c.Services {
			if o := &c.Services[j]; o.Key.Protocol != lvs.FWM && o.Fallback != nil && o.Fallback.Pos == f.Pos {
				keep = append(keep, Edit{Below, o.Pos.Line, indent + name + " = " + f.Name + " " + f.Server.Method.String()})
			}
		}
		out = append(out, spot{pos: s.Pos, directive: name, keep: keep})
	}
	return out
}

// fromGlobal tells whether a fallback is the global one: those of sections are indented.
func fromGlobal(f *config.Fallback) bool { return f != nil && f.Pos.Col == 1 }

func thresholds(_ *config.Config, s *config.Service) []spot {
	if !s.Quiescent || !probes(s) {
		return nil
	}
	if _, set := s.Origins["quiescent"]; !set {
		return nil // the Perl ldirectord took it as no
	}
	var out []spot
	for _, r := range s.Servers {
		if r.Server.Lower+r.Server.Upper > 0 {
			out = append(out, spot{pos: r.Pos, directive: "real"})
		}
	}
	return out
}
