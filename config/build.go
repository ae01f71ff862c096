package config

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// builder makes Services of a draft: names resolved, defaults filled in, rules checked.
type builder struct {
	*report
	draft      draft
	global     *Global
	catalog    Catalog
	names      *names
	maxRange   int
	maxServers int
	servers    int // made so far
	infos      map[string]lookup
}

// lookup is an answer of Catalog.Lookup.
type lookup struct {
	info ServiceInfo
	err  error
}

// services builds all sections. Those with errors are left out; the errors are reported.
func (b *builder) services(ctx context.Context) []Service {
	seen := map[lvs.ServiceKey]Pos{}
	var out []Service
	for _, sec := range b.draft.sections {
		s, ok := b.service(ctx, sec)
		if !sec.keyed {
			continue
		}
		if first, twice := seen[s.Key]; twice && !s.Unresolved {
			b.refuse(s.Pos, sec.name(), sec.text, fmt.Sprintf("another virtual service: line %d is %s already", first.Line, s.Key))
			continue
		}
		seen[s.Key] = s.Pos
		if ok {
			out = append(out, s)
		}
	}
	return out
}

// setting returns what is in force in a section for a directive: its own, else the
// global one. In a directive that may not be global the latter never exists.
func (b *builder) setting(sec *section, name string) (setting, bool) {
	if s, ok := sec.set[name]; ok {
		return s, true
	}
	s, ok := b.draft.set[name]
	return s, ok
}

// service builds one section. It goes on after an error with all that does not hang on
// what was wrong, so that all errors are reported, but none that only follows from another.
func (b *builder) service(ctx context.Context, sec *section) (Service, bool) {
	s := Service{Pos: sec.pos, Name: sec.text, Origins: map[string]Pos{}}
	b.fields(sec, &s)
	b.timeouts(sec, &s)
	sec.keyed, sec.typed = b.key(ctx, sec, &s), b.checkType(sec, &s)
	kept := b.virtual(sec, &s)
	sec.served = b.checkService(sec, &s)
	info := b.checkAvailable(sec, &s)
	b.fallback(ctx, sec, &s)
	b.realServers(ctx, sec, &s)
	b.options(sec, &s, info)
	return s, sec.keyed && sec.typed && sec.served && kept
}

// fields fills in the directives that have a field in the table.
func (b *builder) fields(sec *section, s *Service) {
	for _, d := range directives() {
		if d.service == nil {
			continue
		}
		set, ok := b.setting(sec, d.name)
		if own, is := sec.set[d.name]; is && d.name == "checkinterval" && !b.global.Fork {
			if !b.draft.bad["fork"] {
				b.warn(own.pos, d.name, "has no effect in a section without fork = yes")
			}
			set, ok = b.draft.set[d.name]
		}
		if ok {
			store(d.service(s), set.value)
			s.Origins[d.name] = set.pos
		} else if d.unset != nil {
			store(d.service(s), d.unset)
		}
	}
}

// timeouts fills in checktimeout and negotiatetimeout: the section's value, the section's
// other one, the global one, the global other one, and at last 5 and 30 seconds.
func (b *builder) timeouts(sec *section, s *Service) {
	pick := func(name, other string, unset time.Duration) time.Duration {
		for _, set := range []map[string]setting{sec.set, b.draft.set} {
			for _, n := range []string{name, other} {
				if v, ok := set[n]; ok {
					s.Origins[name] = v.pos
					return time.Duration(v.value.(int64)) * time.Second
				}
			}
		}
		return unset
	}
	s.CheckTimeout = pick("checktimeout", "negotiatetimeout", 5*time.Second)
	s.NegotiateTimeout = pick("negotiatetimeout", "checktimeout", 30*time.Second)
}

// mark tells whether a section is for a firewall mark. Like the Perl ldirectord it takes
// an IPv4 address without a port for a mark, the address's first number.
func (sec *section) mark() (digitsOnly string, exact, ok bool) {
	n := digits(sec.text)
	if n == 0 {
		return "", false, false
	}
	_, isAddr := inetAton(sec.text)
	numbers := strings.Trim(sec.text, "0123456789.") == "" // 10.0.0.300, too
	return sec.text[:n], n == len(sec.text), n == len(sec.text) || ((isAddr || numbers) && !sec.v6)
}

// endpoint takes a section's address and port apart. It is not ok for a firewall mark.
func (sec *section) endpoint(r *report) (endpoint, bool) {
	if _, _, mark := sec.mark(); mark || sec.text == "" {
		return endpoint{}, false
	}
	return readEndpoint(r, sec.name(), sec.text, sec.at, sec.v6)
}

// key fills in Key and Unresolved.
func (b *builder) key(ctx context.Context, sec *section, s *Service) bool {
	if sec.text == "" {
		return false // reported when the line was read
	}
	if text, exact, ok := sec.mark(); ok {
		return b.markKey(sec, s, text, exact)
	}
	e, ok := sec.endpoint(b.report)
	if !ok {
		return false
	}
	if e.last != "" || e.port == "" {
		b.refuse(sec.at, sec.name(), sec.text, e.form()+", or a firewall mark")
		return false
	}
	return b.addressKey(ctx, sec, s, e)
}

func (b *builder) markKey(sec *section, s *Service, text string, exact bool) bool {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		b.refuse(sec.at, sec.name(), sec.text, "a firewall mark from 1 to 4294967295, or ADDRESS:PORT")
		return false
	}
	if !exact {
		b.warn(sec.at, sec.name(), "an address without a port counts as the firewall mark %s, as in the Perl ldirectord; "+
			"write %s:PORT for an address", text, sec.text)
	}
	family := lvs.IPv4
	if sec.v6 {
		family = lvs.IPv6
	}
	s.Key = lvs.ServiceMark(uint32(n), family)
	if p, ok := sec.set["protocol"]; ok {
		s.Origins["protocol"] = p.pos
		if p.value != "fwm" {
			b.refuse(p.at, "protocol", p.value.(string), "fwm, since the virtual service is a firewall mark")
			return false
		}
	}
	return true
}

func (b *builder) addressKey(ctx context.Context, sec *section, s *Service, e endpoint) bool {
	network, given := "tcp", sec.bad["protocol"]
	if given {
		network = ""
	}
	if p, ok := sec.set["protocol"]; ok {
		s.Origins["protocol"] = p.pos
		network, given = p.value.(string), true
		if network == "fwm" {
			b.refuse(p.at, "protocol", "fwm", "tcp or udp, since the virtual service is an address and a port")
			network = ""
		}
	}
	// Without protocol the port decides, and a name that only udp has says enough.
	if !given && digits(e.port) != len(e.port) && b.names.service(ctx, "tcp", e.port) < 0 && b.names.service(ctx, "udp", e.port) >= 0 {
		network = "udp"
	}
	addr := b.names.addr(b.report, e, e.host)
	port, ok := b.names.port(ctx, b.report, e, network)
	if !ok {
		return false
	}
	if !given && port == 53 {
		network = "udp"
	}
	protocol := lvs.TCP
	if network == "udp" {
		protocol = lvs.UDP
	}
	s.Unresolved = !addr.IsValid()
	s.Key = lvs.ServiceAt(protocol, netip.AddrPortFrom(addr, port))
	s.Key.Family = lvs.IPv4
	if sec.v6 {
		s.Key.Family = lvs.IPv6
	}
	return network != ""
}

// fallback fills in Fallback: the section's own or the global one of its family.
func (b *builder) fallback(ctx context.Context, sec *section, s *Service) {
	name := inFamily("fallback", sec.v6)
	set, ok := b.setting(sec, name)
	if !ok {
		return
	}
	line := set.value.(realLine)
	addr := b.names.addr(b.report, line.endpoint, line.host)
	port, ok := b.names.port(ctx, b.report, line.endpoint, s.network(sec))
	if !ok || !sec.keyed {
		return
	}
	if line.port == "" && s.Key.Protocol != lvs.FWM {
		port = s.Key.Addr.Port()
	}
	s.Fallback = &Fallback{Pos: set.pos, Name: line.text, Server: line.server, Unresolved: !addr.IsValid(),
		Key: lvs.Canon(s.Key, netip.AddrPortFrom(addr, port), line.server.Method)}
	s.Origins[name] = set.pos
}

// network is what the services database knows the section's ports under; "" when the
// section's protocol is not known.
func (s *Service) network(sec *section) string {
	switch {
	case !sec.keyed:
		return ""
	case s.Key.Protocol == lvs.UDP:
		return "udp"
	default:
		return "tcp"
	}
}

// virtual fills in what the kernel keeps of the virtual service besides its key.
func (b *builder) virtual(sec *section, s *Service) bool {
	ok := b.persistence(sec, s)
	if p, set := sec.set["scheduler"]; set {
		if len(s.Virtual.Scheduler) > 15 {
			b.refuse(p.at, "scheduler", s.Virtual.Scheduler, "the name of a scheduler, at most 15 characters")
			ok = false
		} else if !isScheduler(s.Virtual.Scheduler) {
			b.warn(p.at, "scheduler", "%s is no scheduler that Linux comes with; the kernel must know it", quoteShort(s.Virtual.Scheduler))
		}
	}
	if p, set := sec.set["schedflags"]; set && !sec.bad["scheduler"] && s.Virtual.Scheduler != "sh" && s.Virtual.Scheduler != "mh" {
		b.warn(p.pos, "schedflags", "mean nothing to scheduler %s, only to sh and mh", s.Virtual.Scheduler)
	}
	if !sec.keyed {
		return ok
	}
	if p, set := sec.set["ops"]; set {
		s.Origins["ops"] = p.pos
		s.Virtual.OnePacket = p.value.(bool) && s.Key.Protocol == lvs.UDP
		if p.value.(bool) && !s.Virtual.OnePacket {
			b.warn(p.pos, "ops", "has no effect, it is for udp")
		}
	}
	if s.Key.Protocol != lvs.FWM && s.Key.Addr.Port() == 0 && s.Virtual.Persistence == 0 && !sec.bad["persistent"] {
		b.refuse(sec.at, sec.name(), sec.text, "a port above 0; port 0, all ports at once, needs persistent")
		ok = false
	}
	return ok
}
