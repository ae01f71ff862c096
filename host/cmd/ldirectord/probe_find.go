package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// probeFound is the check of one real server.
type probeFound struct {
	service *state.ServiceStatus
	real    string          // as status prints it
	check   *state.Check    // nil: there is none
	note    string          // why there is none, or which one it is
	secrets map[string]bool // names of options of check
}

// findProbe finds the check that the command line means. The configuration is turned into checks
// by the very rules of the daemon, so that what is run is what the daemon runs.
func findProbe(cfg *config.Config, o probeOrder) (probeFound, error) {
	s, _ := state.New(cfg, nil, lvs.Table{}, state.Options{Now: time.Now()})
	v, err := findService(s.Snapshot().Services, o.virtual)
	if err != nil {
		return probeFound{}, err
	}
	f := probeFound{service: v}
	lines, err := findLines(v, o)
	if err != nil {
		return f, err
	}
	if len(lines) == 0 {
		f.real, f.note = v.Config.Fallback.Name, "it is the fallback server: nothing checks it"
		return f, nil
	}
	f.real = lines[0].Key.String()
	f.secrets = lines[0].Secrets
	if v.Unresolved || lines[0].Unresolved {
		f.real, f.note = lines[0].Name, "its name does not resolve"
		if v.Unresolved {
			f.note = "the name of the virtual service does not resolve"
		}
		return f, nil
	}
	if f.check, err = oneCheck(s, v, lines); err != nil {
		return f, err
	}
	return f, f.step(o)
}

// findService finds what word names: the form of status, that of the file, either with the
// protocol in front ("tcp:", "udp:", "fwm:", "fwm6:"), or the address or host alone.
func findService(services []*state.ServiceStatus, word string) (*state.ServiceStatus, error) {
	all := make([]nameable, len(services))
	for i, v := range services {
		name := v.Config.Name
		protocol, _, _ := strings.Cut(v.Key.String(), ":")
		protocol += ":"
		all[i] = nameable{shown: v.Key.String(), forms: []string{v.Virtual, name, protocol + name}}
		if v.Unresolved {
			all[i].shown = protocol + name
			continue
		}
		all[i].forms = append(all[i].forms, v.Key.String())
		if v.Key.Protocol != lvs.FWM {
			host, port := hostOf(name), strconv.Itoa(int(v.Key.Addr.Port()))
			all[i].forms = append(all[i].forms, host+":"+port)
			all[i].loose = []string{host, v.Key.Addr.Addr().String()}
		}
	}
	found := named(all, word)
	if len(found) == 0 {
		return nil, notNamed("virtual service", "", word, all)
	}
	if len(found) > 1 {
		return nil, ambiguous("virtual service", word, found, all)
	}
	return services[found[0]], nil
}

// findLines finds the real lines that the order names: several when they are for one entry of the
// table, none when it is the fallback.
func findLines(v *state.ServiceStatus, o probeOrder) ([]*config.Server, error) {
	all := make([]nameable, len(v.Config.Servers))
	for i := range v.Config.Servers {
		r := &v.Config.Servers[i]
		all[i] = nameable{shown: r.Name, forms: []string{r.Name}}
		if !r.Unresolved && !v.Unresolved {
			all[i].shown = r.Key.String()
			all[i].forms = append(all[i].forms, r.Key.String(), r.Addr.String())
			all[i].loose = []string{hostOf(r.Name), r.Addr.Addr().String()}
		}
	}
	found := named(all, o.real)
	if len(found) == 0 {
		if f := v.Config.Fallback; f != nil && len(named([]nameable{{forms: []string{f.Name, f.Key.String()}}}, o.real)) > 0 {
			return nil, nil
		}
		return nil, notNamed("real server", " of "+v.Key.String(), o.real, all)
	}
	var lines []*config.Server
	for _, i := range found {
		r := &v.Config.Servers[i]
		if r.Key != v.Config.Servers[found[0]].Key {
			return nil, ambiguous("real server", o.real, found, all)
		}
		if o.line == 0 || o.line == r.Pos.Line {
			lines = append(lines, r)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("line %d does not say real server %s: line %s does", o.line, o.real, lineNumbers(v, found))
	}
	return lines, nil
}

func lineNumbers(v *state.ServiceStatus, servers []int) string {
	var out []string
	for _, i := range servers {
		out = append(out, strconv.Itoa(v.Config.Servers[i].Pos.Line))
	}
	return strings.Join(slices.Compact(out), ", ")
}

// oneCheck is the check of these lines of one entry; nil when they need none.
func oneCheck(s *state.State, v *state.ServiceStatus, lines []*config.Server) (*state.Check, error) {
	at := slices.IndexFunc(v.Servers, func(r state.ServerStatus) bool { return !r.Unresolved && r.Key == lines[0].Key })
	var found []state.Check
	for _, c := range v.Servers[at].Checks {
		i := slices.IndexFunc(s.Checks(), func(known state.Check) bool { return known.ID == c.ID })
		check := s.Checks()[i]
		asks := func(r *config.Server) bool {
			return slices.Contains(check.Lines, r.Pos.File+":"+strconv.Itoa(r.Pos.Line))
		}
		if slices.ContainsFunc(lines, asks) {
			found = append(found, check)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return &found[0], nil
	}
	var where []string
	for _, r := range lines {
		where = append(where, strconv.Itoa(r.Pos.Line))
	}
	return nil, fmt.Errorf("real server %s of %s has several checks: choose one with --line %s", lines[0].Key, v.Key, strings.Join(where, " or "))
}

// step says why nothing is checked, and chooses one of the two checks of checktype = N.
func (f *probeFound) step(o probeOrder) error {
	c := f.check
	switch section := f.service.Config; {
	case c == nil && (section.CheckType == config.On || section.CheckType == config.Off):
		f.note = "nothing is checked: checktype = " + section.CheckType.String()
	case c == nil:
		f.note = "nothing is checked: service = none"
	case c.ConnectsPer > 0 && o.connect:
		f.note = fmt.Sprintf("checktype = %d: this is the %s check, see without --connect for the %s check", c.ConnectsPer, c.ConnectKind, c.Kind)
		c.Kind, c.Timeout = c.ConnectKind, c.ConnectTimeout
	case c.ConnectsPer > 0:
		f.note = fmt.Sprintf("checktype = %d: this is the negotiate check; --connect runs the other one", c.ConnectsPer)
	case o.connect:
		return fmt.Errorf("--connect is for checktype = N alone; the check of %s is %s", f.real, c.Kind)
	}
	return nil
}

// nameable is something that the command line can name.
type nameable struct {
	shown string   // in messages
	forms []string // each names it
	loose []string // these too, when no form of another one fits
}

// named returns those that word names.
func named(all []nameable, word string) []int {
	word = canonical(word)
	var exact, loose []int
	for i, n := range all {
		is := func(form string) bool { return canonical(form) == word }
		switch {
		case slices.ContainsFunc(n.forms, is):
			exact = append(exact, i)
		case slices.ContainsFunc(n.loose, is):
			loose = append(loose, i)
		}
	}
	if exact != nil {
		return exact
	}
	return loose
}

// canonical writes addresses in one way, and all else in lower case.
func canonical(word string) string {
	word = strings.ToLower(word)
	protocol := ""
	for _, p := range []lvs.Protocol{lvs.TCP, lvs.UDP} {
		if rest, ok := strings.CutPrefix(word, p.String()+":"); ok {
			protocol, word = p.String()+":", rest
		}
	}
	if at, err := netip.ParseAddrPort(word); err == nil {
		word = at.String()
	} else if addr, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil {
		word = addr.String()
	}
	return protocol + word
}

// hostOf is name without the port.
func hostOf(name string) string {
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, ']') {
		return name[:at]
	}
	return name
}

// maxKnown bounds how many names a message lists.
const maxKnown = 20

// notNamed says that there is no such thing, and what there is.
func notNamed(what, of, word string, all []nameable) error {
	var known, forms []string
	for _, n := range all {
		if !slices.Contains(known, n.shown) {
			known = append(known, n.shown)
		}
		forms = append(append(forms, n.forms...), n.loose...)
	}
	text := fmt.Sprintf("no %s %q%s", what, word, of)
	if near := config.Nearest(canonical(word), forms); near != "" {
		text += fmt.Sprintf(" (did you mean %q?)", near)
	}
	if len(known) == 0 {
		return fmt.Errorf("%s: there is none", text)
	}
	return fmt.Errorf("%s; there is %s", text, few(known))
}

// ambiguous says that word names several.
func ambiguous(what, word string, found []int, all []nameable) error {
	var known []string
	for _, i := range found {
		known = append(known, all[i].shown)
	}
	return fmt.Errorf("%s %q may be %s: write one of them", what, word, few(slices.Compact(known)))
}

// few lists words, or the first of them.
func few(words []string) string {
	if left := len(words) - maxKnown; left > 0 {
		return strings.Join(words[:maxKnown], ", ") + " and " + strconv.Itoa(left) + " more"
	}
	return strings.Join(words, ", ")
}
