package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// optionName is the name of a directive that a third party's check takes.
var optionName = regexp.MustCompile(`^option\.[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// setting is a directive that was read, before anything is looked up.
type setting struct {
	pos   Pos // of its name
	at    Pos // of its value
	value any // see syntax; a realLine for fallback and fallback6
}

// section is a virtual or virtual6 section that was read, before anything is looked up.
type section struct {
	pos     Pos
	at      Pos    // of text
	text    string // what the section is for, one word
	v6      bool
	set     map[string]setting // by directive; options of third parties as "option.NAME"
	bad     map[string]bool    // directives whose values could not be read
	servers []realLine

	// What the builder could make out of it: the key, the check type, the service. A section
	// that lacks one is refused, but what does not hang on it is looked at all the same.
	keyed, typed, served bool
}

// name is the word that opens the section.
func (s *section) name() string { return inFamily("virtual", s.v6) }

// inFamily writes virtual, real and fallback as their IPv6 form when v6 is set.
func inFamily(name string, v6 bool) string {
	if v6 {
		return name + "6"
	}
	return name
}

// draft is a whole file, read but not looked up.
type draft struct {
	set      map[string]setting // global directives
	bad      map[string]bool    // global directives whose values could not be read
	execute  []string
	sections []*section
}

// collector sorts statements into a draft.
type collector struct {
	*report
	table map[string]directive
	draft draft
	open  *section // where indented lines belong; nil outside of sections
	lost  bool     // an indented line without a section has been reported
}

// collect sorts the statements of a file into a draft and reads their values.
func collect(r *report, statements []statement) draft {
	c := collector{report: r, table: map[string]directive{}, draft: draft{set: map[string]setting{}, bad: map[string]bool{}}}
	for _, d := range directives() {
		c.table[d.name] = d
	}
	for _, s := range statements {
		if s.indented {
			c.inside(s)
		} else {
			c.outside(s)
		}
	}
	return c.draft
}

// outside takes a statement at the start of a line.
func (c *collector) outside(s statement) {
	c.open, c.lost = nil, false
	d, known := c.table[s.name]
	switch {
	case s.name == "virtual" || s.name == "virtual6":
		c.begin(s)
	case s.name == "supervised" && cutComment(s.text) == "" && !s.assigned:
		c.warn(s.pos, s.name, "write supervised = yes")
		c.put(c.draft.set, s, setting{pos: s.pos, at: s.pos, value: true})
	case !known || d.in&inGlobal == 0:
		c.unknown(s, inGlobal)
	case !c.assigned(s):
	case s.name == "fallback" || s.name == "fallback6":
		if f, ok := readFallback(c.report, s, s.name == "fallback6"); ok {
			c.put(c.draft.set, s, setting{pos: s.pos, at: s.at, value: f})
		}
	case s.name == "execute":
		if v, at := d.syntax(c.report, s); v != nil && v != "" {
			c.draft.execute = append(c.draft.execute, v.(string))
			c.draft.set[s.name] = setting{pos: s.pos, at: at, value: c.draft.execute}
		}
	default:
		c.read(c.draft.set, d, s)
	}
}

// begin opens a section. One whose first line is wrong is read nevertheless, so that
// all that is wrong with it is reported at once.
func (c *collector) begin(s statement) {
	sec := &section{pos: s.pos, at: s.at, v6: s.name == "virtual6", set: map[string]setting{}, bad: map[string]bool{}}
	c.open = sec
	c.draft.sections = append(c.draft.sections, sec)
	if !c.assigned(s) {
		return
	}
	var rest string
	sec.text, rest = field(cutComment(s.text))
	if short := strings.TrimRight(sec.text, ",;"); short != sec.text {
		sec.text, rest = short, cutComment(s.text)[len(short):]
	}
	if rest != "" {
		c.warn(s.at.after(len(sec.text)), s.name, "what follows %s is ignored", quoteShort(sec.text))
	}
	if sec.text == "" {
		c.refuse(s.at, s.name, "", "no value, expected ADDRESS:PORT or a firewall mark")
	}
}

// inside takes an indented statement.
func (c *collector) inside(s statement) {
	d, known := c.table[s.name]
	switch {
	case c.open == nil:
		if !c.lost {
			name := s.name
			if !known {
				name = "" // whatever it is, it is not fit to be shown
			}
			c.refuse(s.pos, name, "", "indented, but no virtual line stands above; global directives begin at the start of a line")
		}
		c.lost = true
	case s.name == "virtual" || s.name == "virtual6":
		c.refuse(s.pos, s.name, "", "must begin at the start of the line, without blanks before it")
	case optionName.MatchString(s.name):
		if c.assigned(s) {
			c.read(c.open.set, directive{syntax: quotable}, s)
		}
	case !known || d.in&inSection == 0:
		c.unknown(s, inSection)
	case !c.assigned(s):
	case slices.Contains([]string{"real", "real6", "fallback", "fallback6"}, s.name):
		c.server(s)
	default:
		c.read(c.open.set, d, s)
	}
}

// server takes a real or fallback line.
func (c *collector) server(s statement) {
	base := strings.TrimSuffix(s.name, "6")
	if right := inFamily(base, c.open.v6); s.name != right {
		c.refuse(s.pos, s.name, "", fmt.Sprintf("belongs into the other family's section, in a %s section use %s", c.open.name(), right))
		return
	}
	if base == "fallback" {
		if f, ok := readFallback(c.report, s, c.open.v6); ok {
			c.put(c.open.set, s, setting{pos: s.pos, at: s.at, value: f})
		}
		return
	}
	if line, ok := readReal(c.report, s, c.open.v6); ok {
		c.open.servers = append(c.open.servers, line)
	}
}

// read reads the value of a directive and puts it into set.
func (c *collector) read(set map[string]setting, d directive, s statement) {
	if v, at := d.syntax(c.report, s); v != nil {
		c.put(set, s, setting{pos: s.pos, at: at, value: v})
	} else {
		c.spoil(s)
	}
	if s.name == "checkcount" {
		c.warn(s.pos, s.name, "deprecated, it counts for ping checks only; use failurecount")
	}
}

// spoil notes that a directive stands there whose value is not known.
func (c *collector) spoil(s statement) {
	if s.indented {
		c.open.bad[s.name] = true
	} else {
		c.draft.bad[s.name] = true
	}
}

// put keeps a setting. The last of several counts.
func (c *collector) put(set map[string]setting, s statement, v setting) {
	if old, ok := set[s.name]; ok {
		c.warn(s.pos, s.name, "given before, on line %d; the last one counts", old.pos.Line)
	}
	set[s.name] = v
}

// assigned tells whether s has its "=", and reports it otherwise.
func (c *collector) assigned(s statement) bool {
	if !s.assigned {
		c.refuse(s.pos, s.name, "", `no "=" after it, expected `+s.name+" = VALUE")
		c.spoil(s)
	}
	return s.assigned
}

// unknown reports a directive that does not exist, at all or where it stands.
func (c *collector) unknown(s statement, where scope) {
	switch d, known := c.table[s.name]; {
	case s.name == "timeout":
		c.refuse(s.pos, s.name, "", "no longer exists, use checktimeout and negotiatetimeout")
	case s.name == "connecttimeout":
		c.refuse(s.pos, s.name, "", "no longer exists, use checktimeout or negotiatetimeout")
	case known && d.in == inGlobal:
		c.refuse(s.pos, s.name, "", "is global, it must stand at the start of a line before the sections")
	case known || (optionName.MatchString(s.name) && where == inGlobal):
		c.refuse(s.pos, s.name, "", "belongs into a virtual section, indented by 4 spaces or a tab")
	default:
		names := []string{"virtual", "virtual6"}
		for name, d := range c.table {
			if d.in&where != 0 {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		hint := didYouMean(s.name, names)
		if hint == "" {
			hint = didYouMean(s.name, slices.Sorted(maps.Keys(c.table)))
		}
		c.refuse(s.pos, "", s.name, "a directive"+hint)
		if near := Nearest(s.name, names); where == inGlobal && (near == "virtual" || near == "virtual6") {
			s.name = near
			c.begin(s)
		}
	}
}
