package config

// unsetQuiescent says once that the Perl ldirectord took a missing quiescent otherwise
// than its manual.
func (r *report) unsetQuiescent(d draft) {
	if _, ok := d.set["quiescent"]; ok || d.bad["quiescent"] {
		return
	}
	for _, sec := range d.sections {
		if _, ok := sec.set["quiescent"]; !ok && !sec.bad["quiescent"] {
			r.warn(sec.pos, "quiescent", "not set, so it is yes as ldirectord(8) says; "+
				"the Perl ldirectord took it as no. Write quiescent = yes or no to be sure")
			return
		}
	}
}

// empty says that a file without errors, or a section of it, has nothing to balance: it may have
// been cut short on its way here.
func (r *report) empty(file string, d draft) {
	if len(r.errors) > 0 {
		return
	}
	if len(d.sections) == 0 {
		r.warn(Pos{File: file, Line: 1, Col: 1}, "", "no virtual service in it; a daemon that loads it has nothing to do, and removes those that it had")
	}
	for _, sec := range d.sections {
		if len(sec.servers) == 0 {
			r.warn(sec.pos, sec.name(), "no %s line below it", inFamily("real", sec.v6))
		}
	}
}

// scripts recommends externaluser, once, to who runs scripts as root.
func (r *report) scripts(c *Config) {
	if c.Global.ExternalUser != "" {
		return
	}
	for i := range c.Services {
		switch s := &c.Services[i]; s.CheckType {
		case External, ExternalPerl:
			r.warn(s.Origins["checktype"], "checktype", "scripts run as root; externaluser = NAME has them run as somebody else")
			return
		}
	}
}

// forks says which sections have no check process of their own although fork asks for it.
func (r *report) forks(c *Config) {
	if !c.Global.Fork {
		return
	}
	kinds := map[string]int{}
	for i := range c.Services {
		s := &c.Services[i]
		if !s.negotiates() {
			continue
		}
		if kinds[s.CheckService]++; kinds[s.CheckService] == c.Global.ForkMax+1 {
			r.warn(s.Pos, "fork", "more than forkmax = %d virtual services of service %s; from here on they share check processes",
				c.Global.ForkMax, s.CheckService)
		}
	}
}
