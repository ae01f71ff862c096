package config

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
)

// options fills in the options of the section and of its servers, and has the service
// check them.
func (b *builder) options(sec *section, s *Service, info ServiceInfo) {
	lua := s.CheckType == ExternalLua
	b.luaText(sec, s)
	if !s.negotiates() && !lua {
		if sec.typed {
			b.idleOptions(sec, s)
		}
		return
	}
	kind := s.CheckService
	if lua {
		kind = s.CheckType.String()
	}
	v := validation{builder: b, sec: sec, service: s, kind: kind, known: b.lookup(kind).err == nil, info: info}
	declared, secrets := map[string]bool{}, map[string]bool{"passwd": true, "secret": true}
	if !v.known { // then the manual's, as far as they can be looked at without it
		for _, name := range optionNames() {
			declared[name] = true
		}
	}
	for _, o := range info.Options {
		declared[o.Name] = true
		if o.Secret {
			secrets[o.Name] = true
		}
	}
	s.Options, s.Secrets, s.Defaults = map[string]string{}, secrets, declaredDefaults(info)
	places := map[string]Pos{}
	for name, p := range sec.set {
		option, third := strings.CutPrefix(name, "option.")
		if !third && (!slices.Contains(optionNames(), name) || !declared[name] || p.value == "") {
			continue
		}
		if _, both := sec.set["option."+name]; both && !third {
			continue // the more particular one counts
		}
		s.Origins[name] = p.pos
		if p.value != s.Defaults[option] || p.value == "" {
			s.Options[option], places[option] = p.value.(string), p.at
		}
	}
	v.declared, v.secrets, v.places = declared, secrets, places
	v.all(lua)
}

// declaredDefaults returns the defaults of a check's options. The script of external-lua is
// no option to a file.
func declaredDefaults(info ServiceInfo) map[string]string {
	out := map[string]string{}
	for _, o := range info.Options {
		if o.Default != "" && !o.Required && o.Name != "lua" && o.Name != "checkcommand" {
			out[o.Name] = o.Default
		}
	}
	return out
}

// luaText fills in Lua, and reports a script that is missing or that nothing runs.
func (b *builder) luaText(sec *section, s *Service) {
	p, ok := sec.set["lua"]
	_, file := sec.set["checkcommand"]
	switch {
	case !ok && !file && s.CheckType == ExternalLua:
		if sec.bad["lua"] || sec.bad["checkcommand"] {
			return
		}
		b.refuse(sec.set["checktype"].at, "checktype", "", "external-lua needs checkcommand or lua, the script to run")
	case !ok:
	case !sec.typed:
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
	sec      *section
	service  *Service
	kind     string // what takes the options
	known    bool   // whether the catalog can say anything about kind
	info     ServiceInfo
	places   map[string]Pos // of values, by option
	declared map[string]bool
	secrets  map[string]bool
}

// all gives each server its options and checks every distinct set once: the section's, and
// those of real lines with a pair of their own.
func (v *validation) all(lua bool) {
	s := v.service
	checked := map[Pair]map[string]string{}
	plain, paired := false, false
	for _, line := range v.sec.servers {
		switch {
		case line.broken:
		case line.pair == nil || lua:
			plain = true
		case checked[*line.pair] == nil:
			checked[*line.pair], paired = v.paired(line), true
		}
	}
	if plain || !paired {
		v.check(s.Options, v.places)
	}
	for i := range s.Servers {
		server := &s.Servers[i]
		server.Options, server.Secrets = s.Options, s.Secrets
		if server.Pair != nil && !lua {
			server.Options = checked[*server.Pair]
		}
	}
	if !lua && v.known && v.sec.typed && v.declared["database"] && v.missing("database", s.Options) {
		at, _ := v.sec.servicePos()
		v.warn(at, "service", "%s without database", s.CheckService)
	}
}

// missing tells whether the section says nothing of an option, not even something unreadable.
func (v *validation) missing(name string, options map[string]string) bool {
	_, set := options[name]
	return !set && v.service.Defaults[name] == "" && !v.sec.bad[name] && !v.sec.bad["option."+name]
}

// paired returns the options of servers whose real line has a request and what to receive.
func (v *validation) paired(line realLine) map[string]string {
	options, places := maps.Clone(v.service.Options), maps.Clone(v.places)
	put := func(name, value string, at Pos) {
		if !v.declared[name] {
			return
		}
		delete(options, name)
		if value != "" && value != v.service.Defaults[name] {
			options[name], places[name] = value, at
		}
	}
	put("request", line.pair.Request, line.requestAt)
	put("receive", line.pair.Receive, line.receiveAt)
	v.check(options, places)
	return options
}

// check reports options that are missing, and has the service look at the others. While
// one is missing, or the check type is not known, only those that are set can be wrong.
func (v *validation) check(options map[string]string, places map[string]Pos) {
	at, _ := v.sec.servicePos()
	if v.service.CheckType == ExternalLua {
		options, places = v.script(options, places)
	}
	if !v.known {
		v.pattern(options, places)
		return
	}
	complete := v.sec.typed
	for _, o := range v.info.Options {
		if _, set := options[o.Name]; set || !o.Required {
			continue
		}
		complete = false
		if v.sec.typed && v.missing(o.Name, options) {
			v.refuse(at, "service", "", v.kind+" needs "+o.Name+", which is not set")
		}
	}
	problems := leaves(v.catalog.Validate(v.kind, options))
	slices.SortStableFunc(problems, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	for _, err := range problems {
		var p OptionProblem
		if set := errors.As(err, &p) && places[p.OptionName()] != (Pos{}); set || complete {
			v.problem(err, at, options, places)
		}
	}
	v.hopeless(at, options, places)
}

// pattern has the catalog look at receive when the service itself cannot be asked.
func (v *validation) pattern(options map[string]string, places map[string]Pos) {
	patterns, ok := v.catalog.(PatternValidator)
	if _, set := options["receive"]; !set || !ok || v.service.CheckType == ExternalLua {
		return
	}
	if err := patterns.ValidatePattern(options["receive"]); err != nil {
		v.problem(receiveProblem{err}, Pos{}, options, places)
	}
}

// receiveProblem is what ValidatePattern says, of the option that it was asked about.
type receiveProblem struct{ error }

func (receiveProblem) OptionName() string { return "receive" }

func (p receiveProblem) ValueOffset() int {
	var place interface{ ValueOffset() int }
	if errors.As(p.error, &place) {
		return place.ValueOffset()
	}
	return 0
}

func (p receiveProblem) Expected() string {
	var want interface{ Expected() string }
	if errors.As(p.error, &want) {
		return want.Expected()
	}
	return p.Error()
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
	want := hidePieces(p.Expected(), value) // says what is wrong as well, in the service's own words
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
