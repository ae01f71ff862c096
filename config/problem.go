package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// String writes the place as "web.cf:12:5", without what is not known. The zero value
// is "".
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	text := p.File + ":" + strconv.Itoa(p.Line)
	if p.Col > 0 {
		text += ":" + strconv.Itoa(p.Col)
	}
	return text
}

// String writes the problem on one line:
//
//	web.cf:12:5: virtual: found "10.0.0.1:eighty", expected a port
//	web.cf:3: checkcount: deprecated, use failurecount
//
// What stands in the file is quoted, so the line has no control bytes of it.
func (p Problem) String() string {
	var b strings.Builder
	if place := p.Pos.String(); place != "" {
		b.WriteString(place + ": ")
	}
	if p.Directive != "" {
		b.WriteString(p.Directive + ": ")
	}
	if p.Found == "" {
		b.WriteString(p.Want)
	} else {
		fmt.Fprintf(&b, "found %s, expected %s", quoteShort(p.Found), p.Want)
	}
	return b.String()
}

// quoteShort quotes s for a message, cut where a reader has seen enough, without userinfo.
func quoteShort(s string) string {
	const enough = 200
	s = HideUserinfo(s)
	if len(s) > enough {
		return strconv.Quote(s[:enough]) + "..."
	}
	return strconv.Quote(s)
}

// Errors is everything that is wrong with one configuration. Nothing of the
// configuration can be used.
type Errors struct {
	Problems []Problem // at least one, in the order of the file
	Warnings []Problem // in the order of the file; may be empty
}

// Error returns one line for each problem.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// report collects problems while one file is read. None of them shows the userinfo of a URL,
// whatever it quotes.
type report struct {
	errors   []Problem
	warnings []Problem
}

// refuse notes an error. found may be "".
func (r *report) refuse(at Pos, directive, found, want string) {
	r.errors = append(r.errors, Problem{Pos: at, Directive: directive, Found: HideUserinfo(found), Want: HideUserinfo(want)})
}

// warn notes something that changes nothing about whether the file is accepted.
func (r *report) warn(at Pos, directive, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{Pos: at, Directive: directive, Want: HideUserinfo(fmt.Sprintf(format, args...))})
}

// inFileOrder sorts problems by place and drops repetitions: a global directive that
// several sections use is complained about once.
func inFileOrder(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return slices.Compact(problems)
}
