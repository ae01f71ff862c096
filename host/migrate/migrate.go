// Package migrate compares a configuration with what the Perl ldirectord made of it: each place
// where that program did something else than ldirectord(8) says, or than is done here, with
// what was done, what is done, and what to write to have it as before.
package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/config"
)

// Difference is one place of a configuration that means something else than it did.
type Difference struct {
	// Pos is the line at fault. Of what is not written it is the line of the section, or line 1.
	Pos config.Pos
	// Rule names the kind of difference; it does not change from version to version.
	Rule string
	// Directive is what stands at Pos, or what does not stand there but could.
	Directive string
	Was       string // what the Perl ldirectord did
	Now       string // what is done here
	// Keep is what to change to have it as before; nil: nothing does that.
	Keep []Edit
	// Note is what Keep changes besides, or without Keep what to do; may be "".
	Note string
}

// Place says where an Edit goes.
type Place string

// The places of edits.
const (
	Top     Place = "top"     // above the first line of the file
	Below   Place = "below"   // below Line
	Instead Place = "instead" // in the place of Line
)

// Edit is one line to write into a configuration.
type Edit struct {
	Place Place
	Line  int    // from 1; 0 with Top
	Text  string // ready to paste, with its indentation
}

// Differences returns all of them in the order of the file. It is nil for a configuration that
// has none. The text is that of the file; without it, what is written in another way is not found.
func Differences(c *config.Config, text []byte) []Difference {
	var out []Difference
	for _, r := range rules(strings.Split(string(text), "\n")) {
		seen := map[config.Pos]bool{} // a range of servers is one line, a global directive one for all sections
		for _, s := range r.find(c) {
			if seen[s.pos] {
				continue
			}
			seen[s.pos] = true
			out = append(out, r.difference(s))
		}
	}
	slices.SortStableFunc(out, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return out
}

// rule is one way in which configurations are taken otherwise.
type rule struct {
	name string
	was  string
	now  string
	keep string // a directive of the section to write below the place; "" when the spots say, or nothing helps
	note string
	find func(*config.Config) []spot
}

// spot is a place where a rule applies.
type spot struct {
	pos       config.Pos
	directive string
	keep      []Edit // instead of the rule's own
	now, note string // the same
}

func (r rule) difference(s spot) Difference {
	d := Difference{Pos: s.pos, Rule: r.name, Directive: s.directive, Was: r.was, Now: cmp.Or(s.now, r.now), Keep: s.keep, Note: cmp.Or(s.note, r.note)}
	if d.Keep == nil && r.keep != "" {
		d.Keep = []Edit{{Below, s.pos.Line, indent + r.keep}}
	}
	return d
}

// indent is that of what is pasted into sections.
const indent = "    "

// head is the place of what concerns the whole file and is not written.
func head(c *config.Config) config.Pos { return config.Pos{File: c.File, Line: 1} }

// services makes a finder of one that looks at a section.
func services(look func(*config.Config, *config.Service) []spot) func(*config.Config) []spot {
	return func(c *config.Config) []spot {
		var out []spot
		for i := range c.Services {
			out = append(out, look(c, &c.Services[i])...)
		}
		return out
	}
}

// at is the place of the first of some directives that a section has, or that it would be in.
func at(s *config.Service, directives ...string) []spot {
	for _, name := range directives {
		if pos, ok := s.Origins[name]; ok {
			return []spot{{pos: pos, directive: name}}
		}
	}
	return []spot{{pos: s.Pos, directive: directives[0]}}
}

// lines writes edits as a message tells them, with the line at fault as "this line".
func lines(edits []Edit, this int) string {
	var b strings.Builder
	for _, e := range edits {
		line := fmt.Sprintf("line %d", e.Line)
		if e.Line == this {
			line = "this line"
		}
		switch {
		case e.Place == Top:
			b.WriteString("at the top of the file: ")
		case e.Place == Below:
			b.WriteString("below " + line + ": ")
		default:
			b.WriteString("instead of " + line + ": ")
		}
		b.WriteString(e.Text + "\n")
	}
	return b.String()
}

// String writes a difference on several lines:
//
//	web.cf:12:5: quiescent: differs from the Perl ldirectord
//	    was:  ...
//	    now:  ...
//	    keep: ...
//
// Nothing of the file is quoted but what Keep repeats of it.
func (d Difference) String() string { return d.text("") }

func (d Difference) text(also string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: differs from the Perl ldirectord%s\n", d.Pos, d.Directive, also)
	fmt.Fprintf(&b, "    was:  %s\n    now:  %s\n", d.Was, d.Now)
	if d.Keep == nil {
		fmt.Fprintf(&b, "    keep: %s\n", cmp.Or(d.Note, "nothing keeps it as it was"))
		return b.String()
	}
	for l := range strings.Lines(lines(d.Keep, d.Pos.Line)) {
		b.WriteString("    keep: " + l)
	}
	if d.Note != "" {
		b.WriteString("          " + d.Note + "\n")
	}
	return b.String()
}

// Text writes differences for people: those that say the same of several lines once, at the first
// of them. It ends with a line that counts them, or says that there are none.
func Text(file string, all []Difference) string {
	type same struct{ rule, directive, now, keep string }
	key := func(d Difference) same { return same{d.Rule, d.Directive, d.Now, lines(d.Keep, d.Pos.Line)} }
	others := map[same][]string{}
	for _, d := range all {
		others[key(d)] = append(others[key(d)], fmt.Sprint(d.Pos.Line))
	}
	var b strings.Builder
	said := map[same]bool{}
	for _, d := range all {
		k := key(d)
		if said[k] {
			continue
		}
		said[k] = true
		also := ""
		if more := others[k][1:]; len(more) > 0 {
			also = "; so do lines " + strings.Join(more, ", ")
			if len(more) == 1 {
				also = "; so does line " + more[0]
			}
		}
		b.WriteString(d.text(also))
	}
	switch len(all) {
	case 0:
		fmt.Fprintf(&b, "%s: no line means anything else than to the Perl ldirectord\n", file)
	case 1:
		fmt.Fprintf(&b, "%s: 1 place differs from the Perl ldirectord\n", file)
	default:
		fmt.Fprintf(&b, "%s: %d places differ from the Perl ldirectord\n", file, len(all))
	}
	return b.String()
}
