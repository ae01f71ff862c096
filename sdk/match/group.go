package match

import (
	"strconv"
	"strings"
)

// group reads what begins with a parenthesis. It reports false for inline flags.
func (p *parser) group() (piece, bool, error) {
	start := p.pos
	p.pos++
	open := p.pos
	if err := p.skipIgnored(); err != nil {
		return piece{}, false, err
	}
	if c := p.peek(); p.pos > open && (c == '?' || c == '*') {
		return piece{}, false, p.fail(start, "'(' and '"+string(c)+"' must be adjacent")
	}
	switch {
	case p.eat("*"):
		out, err := p.verb(start)
		return out, true, err
	case p.eat("?"):
		return p.extension(start)
	}
	p.pos = open
	if p.flags.noCapture {
		out, err := p.enclosedBody(start, "(?:")
		return out, true, err
	}
	out, err := p.capture(start, "")
	return out, true, err
}

// body reads up to the closing parenthesis of the group that began at start, and
// puts the flags of before back.
func (p *parser) body(start int, reset bool) (piece, error) {
	outer := p.flags
	out, err := p.alternatives(reset)
	if err != nil {
		return out, err
	}
	p.flags = outer
	if !p.eat(")") {
		return out, p.fail(start, "unmatched (")
	}
	return out.fenced(p.spareGroup()), nil
}

func (p *parser) enclosedBody(start int, open string) (piece, error) {
	out, err := p.body(start, false)
	return out.enclosed(open), err
}

// capture reads a capture group. The engine is given the numbers that Perl
// counts; names are resolved here.
func (p *parser) capture(start int, name string) (piece, error) {
	p.groups++
	n := p.groups
	if name != "" && p.known == nil {
		p.found.addName(name, n)
	}
	here := span{start: p.pos, flags: p.flags}
	open := "(?<" + strconv.Itoa(n) + ">"
	if len(p.calls) > 0 {
		open = "(?:" // what a call captures is forgotten when it returns
	}
	out, err := p.enclosedBody(start, open)
	here.end = p.pos
	if _, seen := p.found.spans[n]; p.known == nil && !seen {
		p.found.spans[n] = here
	}
	return out, err
}

func (s *survey) addName(name string, n int) {
	for _, have := range s.names[name] {
		if have == n {
			return
		}
	}
	s.names[name] = append(s.names[name], n)
}

// extension reads what follows "(?".
func (p *parser) extension(start int) (piece, bool, error) {
	var out piece
	var err error
	switch {
	case p.eat(":"):
		out, err = p.enclosedBody(start, "(?:")
	case p.eat("|"):
		out, err = p.body(start, true)
		out = out.enclosed("(?:")
	case p.eat(">"):
		out, err = p.body(start, false)
		out = out.atomic()
	case p.eat("="), p.eat("!"), p.eat("<="), p.eat("<!"):
		out, err = p.lookaround(start, p.pattern[start:p.pos])
	case p.eat("P<"), p.eat("<"):
		out, err = p.namedCapture(start, ">")
	case p.eat("'"):
		out, err = p.namedCapture(start, "'")
	case p.eat("P="):
		out, err = p.namedReference(start, ")")
	case p.eat("P>"), p.eat("&"):
		out, err = p.namedCall(start)
	case p.eat("("):
		out, err = p.conditional(start)
	case p.eat("{"), p.eat("?{"), p.eat("p{"):
		err = p.fail(start, "code in a pattern is not allowed")
	case p.eat("["):
		err = p.fail(start, "extended classes (?[..]) are not supported")
	case p.callAhead():
		out, err = p.numberedCall(start)
	default:
		return p.inlineFlags(start)
	}
	return out, true, err
}

// lookaround reads the body after open, one of (?= (?! (?<= (?<!.
func (p *parser) lookaround(start int, open string) (piece, error) {
	p.look++
	body, err := p.body(start, false)
	p.look--
	if err != nil {
		return body, err
	}
	out := assertion(open + body.source + ")")
	out.nested = body.nested
	if open[2] != '<' {
		return out, nil
	}
	if body.max > maxLookbehind {
		return out, p.fail(start, "lookbehind longer than "+strconv.Itoa(maxLookbehind)+" is not possible")
	}
	if body.oneWay != "" {
		return out, p.fail(start, body.oneWay+" inside a lookbehind is not supported")
	}
	return out, nil
}

// groupName reads a name and its terminator.
func (p *parser) groupName(start int, end string) (string, error) {
	first := p.pos
	for isWordByte(p.peek()) {
		p.pos++
	}
	name := p.pattern[first:p.pos]
	if name == "" || isDigit(name[0]) {
		return "", p.fail(first, "group name must start with a letter or _")
	}
	if end == "}" {
		p.blanks()
	}
	if !p.eat(end) {
		return "", p.fail(start, "group name not terminated by "+end)
	}
	return name, nil
}

func (p *parser) namedCapture(start int, end string) (piece, error) {
	name, err := p.groupName(start, end)
	if err != nil {
		return piece{}, err
	}
	return p.capture(start, name)
}

// inlineFlags reads (?flags) or (?flags:...).
func (p *parser) inlineFlags(start int) (piece, bool, error) {
	set, err := p.readFlags(start)
	if err != nil {
		return piece{}, false, err
	}
	if p.eat(")") {
		p.flags = set
		return piece{}, false, nil
	}
	p.pos++ // the colon
	outer := p.flags
	p.flags = set
	out, err := p.enclosedBody(start, "(?:")
	p.flags = outer
	return out, true, err
}

// readFlags reads modifiers up to ':' or ')', which it leaves.
func (p *parser) readFlags(start int) (flags, error) {
	f := p.flags
	if p.eat("^") {
		f = flags{charset: p.baseCharset()}
	}
	caret := p.pos > start+2
	on, xCount, rules := true, 0, ""
	for ; p.more(); p.pos++ {
		c := p.peek()
		switch {
		case c == ':' || c == ')':
			return f, nil
		case c == 'x':
			xCount++
			f.extended, f.extendedClass = on, on && xCount > 1
		case strings.IndexByte("imsn", c) >= 0:
			f.put(c, on)
		case strings.IndexByte("pogc", c) >= 0: // no meaning in a match
		case strings.IndexByte("adlu", c) >= 0:
			rules += string(c)
			if !on || len(rules) > 1 && rules != "aa" {
				return f, p.fail(p.pos, "modifier "+string(c)+" is not possible here")
			}
			f.charset = p.charsetOf(rules)
		case c == '-' && on && !caret:
			on, xCount = false, 0
		default:
			return f, p.fail(p.pos, "(?"+p.pattern[start+2:p.pos+1]+"...) is not known")
		}
	}
	return f, p.fail(start, "(?... not terminated")
}

func (f *flags) put(letter byte, on bool) {
	switch letter {
	case 'i':
		f.ignoreCase = on
	case 'm':
		f.multiLine = on
	case 's':
		f.dotAll = on
	case 'n':
		f.noCapture = on
	}
}

func (p *parser) charsetOf(rules string) charset {
	p.found.marked = p.found.marked || rules[0] == 'u' || rules[0] == 'a'
	switch rules {
	case "u":
		return charsetUnicode
	case "a":
		return charsetASCII
	case "aa":
		return charsetASCIIStrict
	}
	return p.baseCharset()
}

// verb reads what follows "(*": a backtracking verb or a spelt-out assertion.
func (p *parser) verb(start int) (piece, error) {
	first := p.pos
	for isWordByte(p.peek()) {
		p.pos++
	}
	name := p.pattern[first:p.pos]
	if p.peek() == ':' {
		if open := assertionNames[name]; open != "" {
			p.pos++
			if open == "(?>" {
				out, err := p.body(start, false)
				return out.atomic(), err
			}
			return p.lookaround(start, open)
		}
	}
	for p.more() && p.peek() != ')' {
		p.pos++
	}
	if !p.eat(")") {
		return piece{}, p.fail(start, "(*... not terminated")
	}
	switch name {
	case "FAIL", "F":
		return assertion("(?!)"), nil
	case "MARK", "":
		if p.pattern[first+len(name)] == ':' {
			return nothing(), nil
		}
	case "sr", "script_run", "asr", "atomic_script_run":
		return piece{}, p.fail(start, "script runs are not supported")
	case "ACCEPT", "PRUNE", "SKIP", "THEN", "COMMIT":
		return piece{}, p.fail(start, "the verb (*"+name+") is not supported")
	}
	return piece{}, p.fail(start, "(*"+name+"...) is not known")
}

var assertionNames = map[string]string{
	"pla": "(?=", "positive_lookahead": "(?=",
	"nla": "(?!", "negative_lookahead": "(?!",
	"plb": "(?<=", "positive_lookbehind": "(?<=",
	"nlb": "(?<!", "negative_lookbehind": "(?<!",
	"atomic": "(?>",
}
