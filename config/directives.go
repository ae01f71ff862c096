package config

import (
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// scope says where a directive may stand.
type scope uint8

const (
	inGlobal  scope = 1 << iota // at the start of a line, outside of sections
	inSection                   // in a virtual or virtual6 section
	inBoth    = inGlobal | inSection
)

// directive is one row of the language. Directives with a field are filled in, and
// written by Dump, from their row alone; those without one are put into the configuration
// by code of their own.
type directive struct {
	name   string
	in     scope
	syntax syntax
	unset  any // the value when nowhere set; nil leaves the field alone
	// global and service return a pointer to the field that the value goes to.
	global  func(*Global) any
	service func(*Service) any
}

// directives returns the whole language of ldirectord(8) but for virtual and virtual6, in
// the order in which Dump writes it.
func directives() []directive {
	return append(append(globalDirectives(), sharedDirectives()...), sectionDirectives()...)
}

func globalDirectives() []directive {
	return []directive{
		{name: "autoreload", in: inGlobal, syntax: yesOrNo, unset: false, global: func(g *Global) any { return &g.AutoReload }},
		{name: "callback", in: inGlobal, syntax: filled, global: func(g *Global) any { return &g.Callback }},
		{name: "execute", in: inGlobal, syntax: optional, global: func(g *Global) any { return &g.Execute }},
		{name: "supervised", in: inGlobal, syntax: yesOrNo, unset: false, global: func(g *Global) any { return &g.Supervised }},
		{name: "fork", in: inGlobal, syntax: yesOrNo, unset: false, global: func(g *Global) any { return &g.Fork }},
		{name: "forkmax", in: inGlobal, syntax: number(1), unset: int64(32), global: func(g *Global) any { return &g.ForkMax }},
		{name: "logfile", in: inGlobal, syntax: filled, unset: "/var/log/ldirectord.log", global: func(g *Global) any { return &g.LogFile }},
		{name: "logformat", in: inGlobal, syntax: oneOf("text", "json"), unset: "text", global: func(g *Global) any { return &g.LogFormat }},
		{name: "maintenancedir", in: inGlobal, syntax: filled, global: func(g *Global) any { return &g.MaintenanceDir }},
		{name: "statedir", in: inGlobal, syntax: filled, global: func(g *Global) any { return &g.StateDir }},
		{name: "plugindir", in: inGlobal, syntax: filled, global: func(g *Global) any { return &g.PluginDir }},
		{name: "pluginuser", in: inGlobal, syntax: word, global: func(g *Global) any { return &g.PluginUser }},
		{name: "externaluser", in: inGlobal, syntax: word, global: func(g *Global) any { return &g.ExternalUser }},
		{name: "emailalertfrom", in: inGlobal, syntax: verbatim, global: func(g *Global) any { return &g.EmailFrom },
			service: func(s *Service) any { return &s.EmailFrom }},
		{name: "notifycommand", in: inGlobal, syntax: filled, global: func(g *Global) any { return &g.NotifyCommand }},
		{name: "webhook", in: inGlobal, syntax: filled, global: func(g *Global) any { return &g.Webhook }},
		{name: "readdquiescent", in: inBoth, syntax: yesOrNo, unset: false, service: func(s *Service) any { return &s.ReaddQuiescent }},
		{name: "fallback", in: inBoth},
		{name: "fallback6", in: inBoth},
	}
}

func sharedDirectives() []directive {
	return []directive{
		{name: "checktimeout", in: inBoth, syntax: number(1)},
		{name: "negotiatetimeout", in: inBoth, syntax: number(1)},
		{name: "checkinterval", in: inBoth, syntax: number(1), unset: int64(10), global: func(g *Global) any { return &g.CheckInterval },
			service: func(s *Service) any { return &s.CheckInterval }},
		{name: "checkcount", in: inBoth, syntax: number(1), unset: int64(1), service: func(s *Service) any { return &s.CheckCount }},
		{name: "failurecount", in: inBoth, syntax: number(1), unset: int64(1), service: func(s *Service) any { return &s.FailureCount }},
		{name: "quiescent", in: inBoth, syntax: yesOrNo, unset: true, service: func(s *Service) any { return &s.Quiescent }},
		{name: "cleanstop", in: inBoth, syntax: yesOrNo, unset: true, global: func(g *Global) any { return &g.CleanStop },
			service: func(s *Service) any { return &s.CleanStop }},
		{name: "fallbackcommand", in: inBoth, syntax: filled, service: func(s *Service) any { return &s.FallbackCommand }},
		{name: "externalweight", in: inBoth, syntax: yesOrNo, unset: false, service: func(s *Service) any { return &s.ExternalWeight }},
		{name: "emailalert", in: inBoth, syntax: addresses, global: func(g *Global) any { return &g.EmailAlert },
			service: func(s *Service) any { return &s.EmailAlert }},
		{name: "emailalertfreq", in: inBoth, syntax: number(0), unset: int64(0), service: func(s *Service) any { return &s.EmailFreq }},
		{name: "emailalertstatus", in: inBoth, syntax: emailStatus, unset: EmailAll, service: func(s *Service) any { return &s.EmailStatus }},
		{name: "smtp", in: inBoth, syntax: word, global: func(g *Global) any { return &g.SMTP },
			service: func(s *Service) any { return &s.SMTP }},
	}
}

func sectionDirectives() []directive {
	return []directive{
		{name: "protocol", in: inSection, syntax: oneOf("tcp", "udp", "fwm")},
		{name: "scheduler", in: inSection, syntax: keyword, unset: "wrr", service: func(s *Service) any { return &s.Virtual.Scheduler }},
		{name: "schedflags", in: inSection, syntax: schedFlags, service: func(s *Service) any { return &s.Virtual.Flags }},
		{name: "persistent", in: inSection, syntax: digitsOf(0, true), service: func(s *Service) any { return &s.Virtual.Persistence }},
		{name: "netmask", in: inSection, syntax: verbatim},
		{name: "ops", in: inSection, syntax: yesOrNo},
		{name: "checktype", in: inSection, syntax: keyword},
		{name: "service", in: inSection, syntax: keyword},
		{name: "checkport", in: inSection, syntax: port, service: func(s *Service) any { return &s.CheckPort }},
		{name: "checkcommand", in: inSection, syntax: filled, unset: "/bin/true", service: func(s *Service) any { return &s.CheckCommand }},
		{name: "lua", in: inSection, syntax: document},
		{name: "request", in: inSection, syntax: quotable},
		{name: "receive", in: inSection, syntax: quotable},
		{name: "httpmethod", in: inSection, syntax: oneOf("GET", "HEAD")},
		{name: "virtualhost", in: inSection, syntax: optional},
		{name: "login", in: inSection, syntax: quotable},
		{name: "passwd", in: inSection, syntax: quotable},
		{name: "database", in: inSection, syntax: quotable},
		{name: "secret", in: inSection, syntax: quotable},
		{name: "monitorfile", in: inSection, syntax: filled, service: func(s *Service) any { return &s.MonitorFile }},
		{name: "servicename", in: inSection, syntax: free, service: func(s *Service) any { return &s.ServiceName }},
		{name: "comment", in: inSection, syntax: free, service: func(s *Service) any { return &s.Comment }},
		{name: "load", in: inSection, syntax: quotable},
		{name: "real", in: inSection},
		{name: "real6", in: inSection},
	}
}

// optionNames lists the directives that are handed to the check of a service.
func optionNames() []string {
	return []string{"request", "receive", "httpmethod", "virtualhost", "login", "passwd", "database", "secret"}
}

// document reads the body of a here-document.
func document(r *report, s statement) (any, Pos) {
	switch {
	case s.bodyPos.Line == 0:
		r.refuse(s.at, s.name, s.text, "<<END, then the script, then a line that says END")
		return nil, s.at
	case len(s.body) == 0:
		r.refuse(s.at, s.name, "", "no lines, expected a script")
		return nil, s.at
	}
	return strings.Join(s.body, "\n") + "\n", s.bodyPos
}

// schedFlagNames are the names of ipvsadm(8), -b, and the bits that they stand for.
func schedFlagNames() []schedFlagName {
	return []schedFlagName{
		{"flag-1", lvs.SchedFlag1}, {"flag-2", lvs.SchedFlag2}, {"flag-3", lvs.SchedFlag3},
		{"sh-fallback", lvs.SchedFlag1}, {"sh-port", lvs.SchedFlag2},
		{"mh-fallback", lvs.SchedFlag1}, {"mh-port", lvs.SchedFlag2},
	}
}

type schedFlagName struct {
	name string
	bit  lvs.SchedFlags
}

// schedFlags reads scheduler flags with commas between.
func schedFlags(r *report, s statement) (any, Pos) {
	text, offset, ok := unquote(r, s)
	if !ok {
		return nil, s.at
	}
	at := s.at.after(offset)
	var names []string
	for _, n := range schedFlagNames() {
		names = append(names, n.name)
	}
	var flags lvs.SchedFlags
	for w := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ',' || strings.ContainsRune(blanks, c) }) {
		bit := lvs.SchedFlags(0)
		for _, n := range schedFlagNames() {
			if n.name == w {
				bit = n.bit
			}
		}
		if bit == 0 {
			r.refuse(at.after(strings.Index(text, w)), s.name, w, listed(names)+didYouMean(w, names))
			return nil, at
		}
		flags |= bit
	}
	if flags == 0 {
		r.refuse(at, s.name, "", "no value, expected "+listed(names))
		return nil, at
	}
	return flags, at
}

// store puts a value that a syntax has read into a field. Numbers are seconds
// where the field is a time.
func store(field, value any) {
	switch f := field.(type) {
	case *bool:
		*f = value.(bool)
	case *string:
		*f = value.(string)
	case *int:
		*f = int(value.(int64))
	case *uint16:
		*f = uint16(value.(int64))
	case *uint32:
		*f = uint32(value.(int64))
	case *time.Duration:
		*f = time.Duration(value.(int64)) * time.Second
	case *[]string:
		*f = value.([]string)
	case *EmailStatus:
		*f = value.(EmailStatus)
	case *lvs.SchedFlags:
		*f = value.(lvs.SchedFlags)
	}
}

// load reads a field back into the value that store put there. It returns nil for what is
// not set, which then has no line.
func load(field any) any {
	switch f := field.(type) {
	case *bool:
		return *f
	case *string:
		if *f != "" {
			return *f
		}
	case *int:
		return int64(*f)
	case *uint16:
		if *f != 0 {
			return int64(*f)
		}
	case *uint32:
		if *f != 0 {
			return int64(*f)
		}
	case *time.Duration:
		return int64(*f / time.Second)
	case *[]string:
		if *f != nil {
			return *f
		}
	case *EmailStatus:
		return *f
	case *lvs.SchedFlags:
		if *f != 0 {
			return *f
		}
	}
	return nil
}
