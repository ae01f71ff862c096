package config

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/lvs"
)

// DumpOptions says how a configuration is written. The zero value hides secrets.
type DumpOptions struct {
	Secrets bool // write passwords and the userinfo of URLs as they are, not as ***
}

// hidden stands for a secret.
const hidden = "***"

// Dump writes the configuration in force in the language that it was read from: every
// default filled in, those of the checks' own options too, global directives repeated in
// each section that they hold for, each line with a comment that says which line it came
// from. What would be warned of when it stood there, or cannot be written so that it reads
// back, is written as a comment. With Secrets it reads back to the
// same configuration, positions, warnings and digest apart.
func (c *Config) Dump(w io.Writer, o DumpOptions) error {
	p := printer{w: bufio.NewWriter(w), options: o}
	for _, l := range c.globalLines() {
		p.line("", l)
	}
	for i := range c.Services {
		s := &c.Services[i]
		fmt.Fprintln(p.w)
		p.line("", row{name: inFamily("virtual", s.Key.Family == lvs.IPv6), text: s.Name, pos: s.Pos})
		for _, l := range s.lines(c.Global.Fork) {
			p.line("    ", l)
		}
	}
	return errors.Join(p.err, p.w.Flush())
}

// row is one directive to write.
type row struct {
	name   string
	value  any    // as a syntax returns it; nil when text is the value, ready to write
	text   string // ready to write
	syntax syntax // reads value back
	secret bool
	masked string // instead of text when secret; "" for ***
	pos    Pos    // zero: a default
	idle   bool   // to be written as a comment
	theirs bool   // a default that a check says, which the language may have no way to write
}

// printer writes rows.
type printer struct {
	w       *bufio.Writer
	options DumpOptions
	err     error
}

// line writes one row, with where it came from.
func (p *printer) line(indent string, l row) {
	comment := "# default"
	if l.pos.Line > 0 {
		comment = "# line " + strconv.Itoa(l.pos.Line)
	}
	text, body := l.text, ""
	switch {
	case l.secret && !p.options.Secrets:
		text = cmp.Or(l.masked, `"`+hidden+`"`)
	case l.name == "lua":
		text, body = hereDocument(l.value.(string))
	case l.value != nil:
		var ok bool
		text, ok = written(l, comment)
		if l.idle = l.idle || !ok && l.theirs; l.idle && !ok {
			text = strconv.Quote(l.value.(string))
		} else if !ok {
			p.err = errors.Join(p.err, fmt.Errorf("dump configuration: %s cannot be written so that it reads back", l.name))
		}
	}
	if l.idle {
		indent += "# "
	}
	if !p.options.Secrets {
		text, body = HideUserinfo(text), HideUserinfo(body)
	}
	fmt.Fprintf(p.w, "%-47s %s\n%s", indent+l.name+" = "+text, comment, body)
}

// hereDocument writes a script between two marks that it does not have.
func hereDocument(script string) (open, body string) {
	tag := "END"
	has := func(l string) bool { return strings.Trim(l, blanks) == tag }
	for n := 1; slices.ContainsFunc(strings.Split(script, "\n"), has); n++ {
		tag = "END" + strconv.Itoa(n)
	}
	return "<<" + tag, script + tag + "\n"
}

// written writes a value so that it reads back to the same, with the comment after it. The
// language has no escapes, so the forms are tried; one of them is the one that it was read from.
func written(l row, comment string) (string, bool) {
	var forms []string
	switch v := l.value.(type) {
	case bool:
		forms = []string{yesNo(v)}
	case int64:
		forms = []string{strconv.FormatInt(v, 10)}
	case EmailStatus:
		forms = []string{v.String()}
	case lvs.SchedFlags:
		forms = []string{schedFlagsText(v)}
	case []string:
		forms = []string{`"` + strings.Join(v, ", ") + `"`, `"` + strings.Join(v, ",") + `"`}
	case string:
		forms = []string{v, `"` + v + `"`}
		if strings.ContainsAny(v, blanks+`"#`) || !isPlain(l.name) {
			slices.Reverse(forms)
		}
	}
	for _, form := range forms {
		if strings.Contains(form, "\n") {
			continue
		}
		s := cut("", 1, l.name+" = "+form+" "+comment, 0)
		if got, _ := l.syntax(&report{}, s); sameValue(got, l.value) {
			return form, true
		}
	}
	return "", false
}

// isPlain tells whether the manual shows the directive's string without quotes.
func isPlain(name string) bool {
	switch name {
	case "scheduler", "service", "checktype", "protocol", "httpmethod", "netmask", "logformat", "smtp", "pluginuser",
		"externaluser", "emailalertfrom", "servicename", "comment", "execute", "virtualhost", "maintenancedir":
		return true
	}
	return false
}

func sameValue(a, b any) bool {
	if list, ok := a.([]string); ok {
		other, ok := b.([]string)
		return ok && slices.Equal(list, other)
	}
	if _, ok := b.([]string); ok {
		return false
	}
	return a == b
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func schedFlagsText(flags lvs.SchedFlags) string {
	var names []string
	for _, n := range schedFlagNames()[:3] {
		if flags&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// globalLines returns the global directives.
func (c *Config) globalLines() []row {
	g := c.Global // load only reads through the pointers
	var out []row
	for _, d := range directives() {
		if d.global == nil {
			continue
		}
		v := load(d.global(&g))
		if list, ok := v.([]string); ok && d.name == "execute" {
			for _, one := range list {
				out = append(out, row{name: d.name, value: one, syntax: d.syntax, pos: g.Origins[d.name]})
			}
		} else if v != nil {
			// The path and query of a webhook are its password.
			out = append(out, row{name: d.name, value: v, syntax: d.syntax, pos: g.Origins[d.name], secret: d.name == "webhook"})
		}
	}
	return out
}

// lines returns the lines of a section.
func (s *Service) lines(fork bool) []row {
	out := s.ownLines(fork)
	if f := s.Fallback; f != nil {
		name := inFamily("fallback", s.Key.Family == lvs.IPv6)
		out = append(out, row{name: name, text: f.Name + " " + f.Server.Method.String(), pos: f.Pos})
	}
	for i := range s.Servers {
		out = append(out, s.Servers[i].line(s.Key.Family))
	}
	return out
}

// ownLines returns the directives of a section but those that are servers.
func (s *Service) ownLines(fork bool) []row {
	plain := func(name, text string) row { return row{name: name, text: text, pos: s.Origins[name]} }
	out := []row{plain("protocol", s.Key.Protocol.String())}
	for _, d := range directives() {
		if d.service == nil || d.in&inSection == 0 || (d.name == "checkinterval" && !fork) {
			continue
		}
		v := load(d.service(s))
		if v == nil {
			continue
		}
		at := s.Origins[d.name]
		deprecated := d.name == "checkcount" && at.Line == 0
		out = append(out, row{name: d.name, value: v, syntax: d.syntax, pos: at, idle: deprecated})
	}
	if s.Virtual.Persistence > 0 {
		out = append(out, plain("netmask", s.netmask()))
	}
	out = append(out,
		row{name: "ops", value: s.Virtual.OnePacket, syntax: yesOrNo, pos: s.Origins["ops"]},
		plain("checktype", s.checkWord()),
		row{name: "service", value: s.CheckService, syntax: word, pos: s.Origins["service"]},
		row{name: "checktimeout", value: load(&s.CheckTimeout), syntax: number(1), pos: s.Origins["checktimeout"]},
		row{name: "negotiatetimeout", value: load(&s.NegotiateTimeout), syntax: number(1), pos: s.Origins["negotiatetimeout"]})
	return append(out, s.checkLines()...)
}

// netmask writes PrefixLen as the directive wants it.
func (s *Service) netmask() string {
	if s.Key.Family == lvs.IPv6 {
		return strconv.Itoa(int(s.Virtual.PrefixLen))
	}
	m := ^uint32(0) << (32 - s.Virtual.PrefixLen)
	return fmt.Sprintf("%d.%d.%d.%d", m>>24, m>>16&255, m>>8&255, m&255)
}

// checkLines returns what is handed to the check: script and options.
func (s *Service) checkLines() []row {
	var out []row
	if s.Lua != "" {
		out = append(out, row{name: "lua", value: s.Lua, pos: s.Origins["lua"]})
	}
	options := maps.Clone(s.Defaults)
	maps.Copy(options, s.Options)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		l := row{name: name, value: options[name], syntax: quotable, secret: s.Secrets[name], pos: s.Origins[name]}
		if third, ok := s.Origins["option."+name]; ok || !slices.Contains(optionNames(), name) {
			l.name, l.pos = "option."+name, third
		}
		for _, d := range sectionDirectives() {
			if d.name == l.name {
				l.syntax = d.syntax
			}
		}
		l.theirs = l.pos.Line == 0
		out = append(out, l)
	}
	return out
}

// line writes a real line.
func (r *Server) line(f lvs.Family) row {
	before := fmt.Sprintf("%s %s %d", r.Name, r.Server.Method, r.Server.Weight)
	after := ""
	if r.Server.Lower > 0 {
		after += fmt.Sprintf(" l:%d", r.Server.Lower)
	}
	if r.Server.Upper > 0 {
		after += fmt.Sprintf(" u:%d", r.Server.Upper)
	}
	out := row{name: inFamily("real", f == lvs.IPv6), text: before + after, pos: r.Pos}
	if r.Pair != nil {
		out.text = before + ` "` + r.Pair.Request + `", "` + r.Pair.Receive + `"` + after
		out.secret = r.Secrets["request"] || r.Secrets["receive"]
		out.masked = before + ` "` + hidden + `", "` + hidden + `"` + after
	}
	return out
}
