package match

import (
	"strings"
)

// class reads a bracketed class after its bracket, which stood at start.
func (p *parser) class(start int) (byteSet, error) {
	negated := p.eat("^")
	var set byteSet
	for first := true; ; first = false {
		p.classBlanks()
		if !p.more() {
			return set, p.fail(start, "unmatched [")
		}
		if p.peek() == ']' && !first {
			p.pos++
			break
		}
		members, err := p.classItem(start)
		if err != nil {
			return set, err
		}
		set = set.union(members)
	}
	if negated {
		set = set.inverted()
	}
	return set, nil
}

// classBlanks passes what /xx ignores inside a class.
func (p *parser) classBlanks() {
	if p.flags.extendedClass {
		p.blanks()
	}
}

// member is one element of a class: a set, or a character that may begin a range.
type member struct {
	set    byteSet
	single bool
	char   rune
}

// classItem reads a member, or two with a dash between them. A dash next to a set
// is a dash.
func (p *parser) classItem(class int) (byteSet, error) {
	start := p.pos
	low, err := p.classMember(class)
	if err != nil {
		return byteSet{}, err
	}
	p.classBlanks()
	dash := p.pos
	if !p.eat("-") {
		return p.classRange(low, low), nil
	}
	p.classBlanks()
	if !p.more() || p.peek() == ']' {
		p.pos = dash
		return p.classRange(low, low), nil
	}
	high, err := p.classMember(class)
	if err != nil {
		return byteSet{}, err
	}
	if !low.single || !high.single {
		set := p.classRange(low, low).union(p.classRange(high, high))
		set.add('-')
		return set, nil
	}
	if low.char > high.char {
		return byteSet{}, p.fail(start, "range out of order")
	}
	return p.classRange(low, high), nil
}

// classRange returns the bytes from one member to another, with their case
// variants if case is ignored.
func (p *parser) classRange(low, high member) byteSet {
	if !low.single {
		return low.set
	}
	var set byteSet
	for r := low.char; r <= min(high.char, 0xff); r++ {
		set.add(byte(r))
	}
	if p.flags.ignoreCase {
		set = set.folded(p.flags.charset)
		for _, r := range foldedAlone {
			if low.char <= r && r <= high.char {
				set = set.union(foldByte(r, p.flags.charset))
			}
		}
	}
	return set
}

// classMember reads one element.
func (p *parser) classMember(class int) (member, error) {
	start := p.pos
	c := p.peek()
	p.pos++
	if c == '[' {
		set, present, err := p.posixClass(start)
		if present || err != nil {
			return member{set: set}, err
		}
	}
	if c != '\\' {
		return member{single: true, char: rune(c)}, nil
	}
	if !p.more() {
		return member{}, p.fail(class, "unmatched [")
	}
	c = p.peek()
	if set, ok := shorthand(c, p.flags.charset); ok {
		p.pos++
		return member{set: set}, nil
	}
	switch c {
	case 'p', 'P':
		p.pos++
		set, err := p.property(start)
		return member{set: set}, err
	case 'b':
		p.pos++
		return member{single: true, char: '\b'}, nil
	case 'N':
		p.pos++
		if p.peek() != '{' {
			return member{}, p.fail(start, `\N in a class must be \N{U+...}`)
		}
		r, err := p.namedCharacter(start)
		return member{single: true, char: r}, err
	}
	r, err := p.character(start)
	if r > 0xff {
		p.unicodeRules()
	}
	return member{single: true, char: r}, err
}

// posixClass reads [:name:] after its bracket. Anything that is not quite one is
// a bracket and what follows, as in Perl.
func (p *parser) posixClass(start int) (byteSet, bool, error) {
	kind := p.peek()
	if kind != ':' && kind != '=' && kind != '.' {
		return byteSet{}, false, nil
	}
	rest := p.pattern[p.pos+1:]
	end := strings.Index(rest, string(kind)+"]")
	if end < 0 {
		return byteSet{}, false, nil
	}
	name, negated := strings.CutPrefix(rest[:end], "^")
	for i := range len(name) {
		if !isWordByte(name[i]) {
			return byteSet{}, false, nil
		}
	}
	if kind != ':' {
		return byteSet{}, false, p.fail(start, "[= =] and [. .] are not supported")
	}
	set, known := posixSet(name, p.flags.charset, p.flags.ignoreCase)
	if !known {
		return byteSet{}, false, p.fail(start, "unknown class [:"+rest[:end]+":]")
	}
	p.pos += end + 3
	if negated {
		set = set.inverted()
	}
	return set, true, nil
}
