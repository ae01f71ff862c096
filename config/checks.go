package config

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/lvs"
)

// service and port of ldirectord(8), "service".
type portService struct {
	port    uint16
	service string
}

// portServices says which service a virtual service's port stands for.
func portServices() []portService {
	return []portService{
		{21, "ftp"}, {25, "smtp"}, {53, "dns"}, {80, "http"}, {110, "pop"}, {119, "nntp"}, {143, "imap"},
		{389, "ldap"}, {443, "https"}, {587, "submission"}, {636, "ldaps"}, {993, "imaps"}, {995, "pops"},
		{1521, "oracle"}, {1812, "radius"}, {3128, "http_proxy"}, {3306, "mysql"}, {5432, "pgsql"}, {5060, "sip"},
	}
}

// none is the service that is not checked at all.
const none = "none"

// checkService fills in CheckService, and makes the connect check of udp a ping. keyed tells
// whether the section's key is known.
func (b *builder) checkService(sec *section, s *Service, keyed bool) {
	if s.CheckType == Connect && s.Key.Protocol == lvs.UDP {
		s.CheckType = Ping
	}
	if p, ok := sec.set["service"]; ok {
		s.CheckService = p.value.(string)
		s.Origins["service"] = p.pos
		return
	}
	s.CheckService = none
	for _, p := range portServices() {
		if keyed && s.Key.Protocol != lvs.FWM && p.port == s.Key.Addr.Port() {
			s.CheckService = p.service
		}
	}
}

// negotiates tells whether the section's check speaks its service's protocol.
func (s *Service) negotiates() bool {
	return (s.CheckType == Negotiate || s.CheckType == Combined) && s.CheckService != none
}

// lookup asks the catalog for a service, once.
func (b *builder) lookup(service string) lookup {
	answer, ok := b.infos[service]
	if !ok {
		answer.info, answer.err = b.catalog.Lookup(service)
		b.infos[service] = answer
	}
	return answer
}

// defaultPort is where the section's service is found when nothing names a port: the
// manual's port, or the one that the service itself says; 0 when there is neither.
func (b *builder) defaultPort(s *Service) uint16 {
	if s.negotiates() {
		if a := b.lookup(s.CheckService); a.err == nil && a.info.Port != 0 {
			return a.info.Port
		}
	}
	for _, p := range portServices() {
		if p.service == s.CheckService {
			return p.port
		}
	}
	return 0
}

// checkAvailable reports a check that this machine cannot run. It returns what is known of
// the one that takes options, which is the service's or the check type's own.
func (b *builder) checkAvailable(sec *section, s *Service) ServiceInfo {
	typeAt := sec.pos
	if p, ok := sec.set["checktype"]; ok {
		typeAt = p.at
	}
	var info ServiceInfo
	kind := s.CheckType.String()
	switch s.CheckType {
	case Combined:
		kind = "connect"
		if s.Key.Protocol == lvs.UDP {
			kind = "ping"
		}
		fallthrough
	case Connect, Ping, External, ExternalPerl, ExternalLua:
		a := b.lookup(kind)
		if a.err != nil {
			b.refuse(typeAt, "checktype", "", "check "+kind+": "+a.err.Error())
		}
		info = a.info
	}
	if s.negotiates() {
		info = b.serviceAvailable(sec, s)
	}
	return info
}

// serviceAvailable reports a service that does not exist or cannot be used.
func (b *builder) serviceAvailable(sec *section, s *Service) ServiceInfo {
	at, given := sec.servicePos()
	a := b.lookup(s.CheckService)
	switch {
	case a.err == nil:
		if sec.v6 && !a.info.IPv6 {
			b.warn(at, "service", "%s does not say that it can check IPv6 addresses", s.CheckService)
		}
	case errors.Is(a.err, ErrUnknownService):
		known := b.catalog.Services()
		if !slices.Contains(known, none) {
			known = append(slices.Clone(known), none)
			slices.Sort(known)
		}
		// What the catalog adds says where it looked.
		_, where, _ := strings.Cut(a.err.Error(), ErrUnknownService.Error()+": ")
		if where != "" {
			where = "; " + where
		}
		b.refuse(at, "service", s.CheckService, listed(known)+didYouMean(s.CheckService, known)+where)
	case given:
		b.refuse(at, "service", "", a.err.Error())
	default:
		b.refuse(at, "service", "", s.CheckService+", which the port stands for: "+a.err.Error())
	}
	return a.info
}

// servicePos is where what concerns the service is reported: its line, or the section's.
func (sec *section) servicePos() (at Pos, given bool) {
	if p, ok := sec.set["service"]; ok {
		return p.at, true
	}
	return sec.at, false
}

// options fills in the options of the section and of its servers, and has the service
// check them.
func (b *builder) options(sec *section, s *Service, info ServiceInfo) {
	lua := s.CheckType == ExternalLua
	b.luaText(sec, s)
	if !s.negotiates() && !lua {
		b.idleOptions(sec, s)
		return
	}
	declared, secrets := map[string]bool{}, map[string]bool{"passwd": true, "secret": true}
	for _, o := range info.Options {
		declared[o.Name] = true
		if o.Secret {
			secrets[o.Name] = true
		}
	}
	s.Options, s.Secrets = map[string]string{}, secrets
	places := map[string]Pos{}
	for name, p := range sec.set {
		option, third := strings.CutPrefix(name, "option.")
		if !third && (!slices.Contains(optionNames(), name) || !declared[name] || p.value == "") {
			continue
		}
		if _, both := sec.set["option."+name]; both && !third {
			continue // the more particular one counts
		}
		s.Options[option], places[option] = p.value.(string), p.at
		s.Origins[name] = p.pos
	}
	v := validation{builder: b, sec: sec, service: s, info: info, places: places, secrets: secrets}
	v.all(declared, lua)
}

// luaText fills in Lua, and reports a script that is missing or that nothing runs.
func (b *builder) luaText(sec *section, s *Service) {
	p, ok := sec.set["lua"]
	_, file := sec.set["checkcommand"]
	switch {
	case !ok && !file && s.CheckType == ExternalLua:
		b.refuse(sec.set["checktype"].at, "checktype", "", "external-lua needs checkcommand or lua, the script to run")
	case !ok:
	case s.CheckType != ExternalLua:
		b.warn(p.pos, "lua", "has no effect without checktype = external-lua")
	default:
		s.Lua, s.LuaPos = p.value.(string), p.at
		s.Origins["lua"] = p.pos
	}
}

// idleOptions warns of third parties' options that no check is given.
func (b *builder) idleOptions(sec *section, s *Service) {
	for name, p := range sec.set {
		if strings.HasPrefix(name, "option.") {
			b.warn(p.pos, name, "has no effect with checktype = %s and service = %s", s.checkWord(), s.CheckService)
		}
	}
}

// validation checks one section's options.
type validation struct {
	*builder
	sec     *section
	service *Service
	info    ServiceInfo
	places  map[string]Pos // of values, by option
	secrets map[string]bool
}

// all gives each server its options and checks every distinct set once: the section's, and
// those of real lines with a pair of their own.
func (v *validation) all(declared map[string]bool, lua bool) {
	s := v.service
	checked := map[Pair]map[string]string{}
	lines := map[int]realLine{}
	for _, line := range v.sec.servers {
		lines[line.pos.Line] = line
	}
	plain := len(s.Servers) == 0
	for i := range s.Servers {
		server := &s.Servers[i]
		server.Options, server.Secrets = s.Options, s.Secrets
		if server.Pair == nil || lua {
			plain = true
			continue
		}
		options, ok := checked[*server.Pair]
		if !ok {
			options = v.paired(lines[server.Pos.Line], declared)
			checked[*server.Pair] = options
		}
		server.Options = options
	}
	if plain {
		v.check(s.Options, v.places)
	}
	if _, named := s.Options["database"]; declared["database"] && !named {
		at, _ := v.sec.servicePos()
		v.warn(at, "service", "%s without database", s.CheckService)
	}
}

// paired returns the options of servers whose real line has a request and what to receive.
func (v *validation) paired(line realLine, declared map[string]bool) map[string]string {
	options, places := maps.Clone(v.service.Options), maps.Clone(v.places)
	put := func(name, value string, at Pos) {
		if !declared[name] {
			return
		}
		delete(options, name)
		if value != "" {
			options[name], places[name] = value, at
		}
	}
	put("request", line.pair.Request, line.requestAt)
	put("receive", line.pair.Receive, line.receiveAt)
	v.check(options, places)
	return options
}

// check reports options that are missing, and has the service look at the others.
func (v *validation) check(options map[string]string, places map[string]Pos) {
	at, _ := v.sec.servicePos()
	kind := v.service.CheckService
	if v.service.CheckType == ExternalLua {
		kind = v.service.CheckType.String()
		options, places = v.script(options, places)
	}
	if v.lookup(kind).err != nil {
		return // reported already
	}
	complete := true
	for _, o := range v.info.Options {
		if _, ok := options[o.Name]; o.Required && !ok {
			v.refuse(at, "service", "", kind+" needs "+o.Name+", which is not set")
			complete = false
		}
	}
	if !complete {
		return
	}
	problems := leaves(v.catalog.Validate(kind, options))
	slices.SortStableFunc(problems, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	for _, err := range problems {
		v.problem(err, at, options, places)
	}
}

// script adds the script of external-lua to its options, as far as it takes one.
func (v *validation) script(options map[string]string, places map[string]Pos) (map[string]string, map[string]Pos) {
	options, places = maps.Clone(options), maps.Clone(places)
	for _, o := range v.info.Options {
		switch {
		case o.Name == "lua" && v.service.Lua != "":
			options["lua"], places["lua"] = v.service.Lua, v.service.LuaPos
		case o.Name == "checkcommand" && v.service.Lua == "":
			options["checkcommand"], places["checkcommand"] = v.service.CheckCommand, v.sec.set["checkcommand"].at
		}
	}
	return options, places
}

// problem reports one thing that a service says of its options, at the byte that is
// wrong.
func (v *validation) problem(err error, at Pos, options map[string]string, places map[string]Pos) {
	var p OptionProblem
	if !errors.As(err, &p) {
		v.refuse(at, "service", "", err.Error())
		return
	}
	name := p.OptionName()
	place, set := places[name]
	if !set {
		want := p.Expected()
		if name != "" {
			want = name + ": " + want
		}
		v.refuse(at, "service", "", want)
		return
	}
	value := options[name]
	before := value[:min(max(p.ValueOffset(), 0), len(value))]
	if lines := strings.Count(before, "\n"); lines > 0 {
		place.Line += lines
		place.Col = len(before) - strings.LastIndexByte(before, '\n')
	} else {
		place.Col += len(before)
	}
	directive := name
	if _, third := v.sec.set["option."+name]; third {
		directive = "option." + name
	}
	want := p.Expected() // says what is wrong as well, in the service's own words
	if !v.secrets[name] && name != "lua" && value != "" {
		want = quoteShort(value) + ": " + want
	}
	v.refuse(place, directive, "", want)
}

// leaves returns the errors that err joins, or err alone, or none.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	if p, ok := err.(OptionProblem); ok {
		return []error{p}
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		var out []error
		for _, inner := range e.Unwrap() {
			out = append(out, leaves(inner)...)
		}
		return out
	case interface{ Unwrap() error }:
		var p OptionProblem
		if errors.As(err, &p) {
			return leaves(e.Unwrap())
		}
	}
	return []error{err}
}
