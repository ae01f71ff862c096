package match

import (
	"strconv"
	"strings"
)

// escape reads what follows a backslash outside a class.
func (p *parser) escape() (piece, error) {
	start := p.pos - 1
	if !p.more() {
		return piece{}, p.fail(start, "backslash at the end")
	}
	c := p.peek()
	if set, ok := shorthand(c, p.flags.charset); ok {
		p.pos++
		return p.setPiece(set), nil
	}
	switch c {
	case 'A', 'z', 'Z', 'G':
		p.pos++
		return assertion(`\` + string(c)), nil
	case 'b', 'B':
		p.pos++
		return p.boundary(start, c)
	case 'K':
		p.pos++
		return p.keep(start)
	case 'R':
		p.pos++
		return p.lineBreak(), nil
	case 'X':
		p.pos++
		return p.cluster(), nil
	case 'C':
		return piece{}, p.fail(start, `\C is not supported`)
	case 'N':
		p.pos++
		return p.newlineOrNamed(start)
	case 'p', 'P':
		p.pos++
		set, err := p.property(start)
		return p.setPiece(set), err
	case 'k':
		p.pos++
		return p.namedEscape(start)
	case 'g':
		p.pos++
		return p.groupEscape(start)
	}
	if c >= '1' && c <= '9' {
		if out, ok, err := p.digitReference(start); ok || err != nil {
			return out, err
		}
	}
	r, err := p.character(start)
	if err != nil {
		return piece{}, err
	}
	if r > 0xff {
		p.found.unicode = true
	}
	return p.foldedLiteral(r), nil
}

// boundary is \b or \B under the rules in force. The engine's own one agrees with
// them if high bytes are letters to both or to neither.
func (p *parser) boundary(start int, letter byte) (piece, error) {
	if p.peek() == '{' {
		return piece{}, p.fail(start, `\`+string(letter)+"{...} is not supported")
	}
	if p.flags.charset.wide() == bool(p.alphabet() == latinHigh) {
		return assertion(`\` + string(letter)), nil
	}
	set, _ := shorthand('w', p.flags.charset)
	w := p.alphabet().setSource(set)
	here, there := "(?<="+w+")(?!"+w+")", "(?<!"+w+")(?="+w+")"
	if letter == 'B' {
		here, there = "(?<="+w+")(?="+w+")", "(?<!"+w+")(?!"+w+")"
	}
	return assertion("(?:" + here + "|" + there + ")"), nil
}

// keep is \K, which moves the start of the match and so changes nothing here.
func (p *parser) keep(start int) (piece, error) {
	if p.look > 0 {
		return piece{}, p.fail(start, `\K is not possible in a lookaround`)
	}
	out := nothing()
	out.keep = true
	return out, nil
}

// lineBreak is \R: it never splits CR LF. Written without an atomic group, it
// means the same in both directions.
func (p *parser) lineBreak() piece {
	others := verticalSpace
	others.remove('\r')
	return piece{source: `(?:\r\n|\r(?!\n)|` + p.alphabet().setSource(others) + `)`, min: 1, max: 2, atom: true}
}

// cluster is \X. Among the first 256 code points only CR LF belong together.
func (p *parser) cluster() piece {
	others := allBytes
	others.remove('\r')
	return piece{source: `(?:\r\n|\r(?!\n)|` + p.alphabet().setSource(others) + `)`, min: 1, max: unbounded, atom: true}
}

// newlineOrNamed reads what follows \N: a code point in braces, or else it means
// any byte but a newline.
func (p *parser) newlineOrNamed(start int) (piece, error) {
	if p.peek() == '{' {
		here := p.pos
		_, _, _, quantifies := p.braces()
		p.pos = here
		if !quantifies {
			r, err := p.namedCharacter(start)
			if err != nil {
				return piece{}, err
			}
			return p.foldedLiteral(r), nil
		}
	}
	return p.setPiece(notNewline), nil
}

// namedCharacter reads {U+HEX} after \N. The names of characters are not known.
func (p *parser) namedCharacter(start int) (rune, error) {
	text, ok := p.braced()
	digits, isCode := strings.CutPrefix(strings.Trim(text, " \t"), "U+")
	if !ok {
		return 0, p.fail(start, `\N{ without }`)
	}
	if !isCode {
		return 0, p.fail(start, `named characters are not supported; write \N{U+...}`)
	}
	n, err := strconv.ParseUint(strings.ReplaceAll(digits, "_", ""), 16, 31)
	if err != nil {
		return 0, p.fail(start, `\N{U+...} needs the hexadecimal digits of one code point`)
	}
	p.unicodeRules()
	return rune(n), nil
}

// unicodeRules notes what gives the whole pattern Unicode rules, unless the place
// has rules of its own.
func (p *parser) unicodeRules() {
	if p.flags.charset == charsetBytes {
		p.found.unicode = true
	}
}

// braced reads {text}.
func (p *parser) braced() (string, bool) {
	end := strings.IndexByte(p.pattern[p.pos:], '}')
	if p.peek() != '{' || end < 0 {
		return "", false
	}
	text := p.pattern[p.pos+1 : p.pos+end]
	p.pos += end + 1
	return text, true
}

// property reads the name after \p or \P.
func (p *parser) property(start int) (byteSet, error) {
	inverted := p.pattern[p.pos-1] == 'P'
	p.unicodeRules()
	name, ok := p.braced()
	if !ok {
		if !p.more() || p.peek() == '{' {
			return byteSet{}, p.fail(start, `\p without a name`)
		}
		name = p.pattern[p.pos : p.pos+1]
		p.pos++
	}
	set, known := propertySet(name, p.flags.ignoreCase)
	if !known {
		return set, p.fail(start, "unknown property "+strconv.Quote(name))
	}
	if inverted {
		set = set.inverted()
	}
	return set, nil
}

// namedEscape reads \k<name>, \k'name' or \k{name}.
func (p *parser) namedEscape(start int) (piece, error) {
	switch {
	case p.eat("<"):
		return p.namedReference(start, ">")
	case p.eat("'"):
		return p.namedReference(start, "'")
	case p.eat("{"):
		p.blanks()
		return p.namedReference(start, "}")
	}
	return piece{}, p.fail(start, `\k without a name`)
}

// groupEscape reads \gN, \g-N, \g{N}, \g{-N} or \g{name}.
func (p *parser) groupEscape(start int) (piece, error) {
	inBraces := p.eat("{")
	if inBraces {
		p.blanks()
	}
	relative := p.peek() == '-' && isDigit(p.at(1))
	if relative {
		p.pos++
	}
	if inBraces && !isDigit(p.peek()) {
		return p.namedReference(start, "}")
	}
	digits := p.digits()
	if digits == "" {
		return piece{}, p.fail(start, `\g without a group`)
	}
	if inBraces {
		// What follows the digits does not count for Perl either.
		end := strings.IndexByte(p.pattern[p.pos:], '}')
		if end < 0 {
			return piece{}, p.fail(start, `\g{ without }`)
		}
		p.pos += end + 1
	}
	n := repeatCount(digits, 0)
	if relative {
		n = p.groups + 1 - n
	}
	return p.numberedReference(start, n)
}

// digitReference reads \1 and the like. Two digits and more are a reference only
// if so many groups were opened before; otherwise an octal number.
func (p *parser) digitReference(start int) (piece, bool, error) {
	first := p.pos
	n := repeatCount(p.digits(), 0)
	if n > 9 && n > p.groups && p.pattern[first] < '8' {
		p.pos = first
		return piece{}, false, nil
	}
	out, err := p.numberedReference(start, n)
	return out, true, err
}

// character reads an escape that stands for one character, in a class or out.
// Unknown letters stand for themselves.
func (p *parser) character(start int) (rune, error) {
	c := p.peek()
	p.pos++
	switch c {
	case 'a':
		return '\a', nil
	case 'e':
		return 0x1b, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'c':
		return p.control(start)
	case 'x':
		return p.hexadecimal(start)
	case 'o':
		return p.bracedOctal(start)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		p.pos--
		return p.octal(), nil
	}
	return rune(c), nil
}

// control reads the X of \cX.
func (p *parser) control(start int) (rune, error) {
	c := p.peek()
	if !p.more() || c < ' ' || c > '~' {
		return 0, p.fail(start, `\c needs a printable ASCII character`)
	}
	if c == '{' {
		return 0, p.fail(start, `write ; instead of \c{`)
	}
	p.pos++
	if c >= 'a' && c <= 'z' {
		c -= 0x20
	}
	return rune(c ^ 0x40), nil
}

// octal reads up to three digits.
func (p *parser) octal() rune {
	var r rune
	for i := 0; i < 3 && p.peek() >= '0' && p.peek() <= '7'; i++ {
		r = r*8 + rune(p.peek()-'0')
		p.pos++
	}
	return r
}

// hexadecimal reads the digits of \xHH or \x{H..}. As in Perl, what is not a digit
// ends the number, inside braces with the rest ignored.
func (p *parser) hexadecimal(start int) (rune, error) {
	digits := ""
	if p.peek() == '{' {
		text, ok := p.braced()
		if !ok {
			return 0, p.fail(start, `\x{ without }`)
		}
		digits = strings.Trim(text, " \t")
	} else {
		first := p.pos
		for p.pos < first+2 && isHex(p.peek()) && p.more() {
			p.pos++
		}
		digits = p.pattern[first:p.pos]
	}
	return p.number(start, digits, 16)
}

func (p *parser) bracedOctal(start int) (rune, error) {
	text, ok := p.braced()
	digits := strings.Trim(text, " \t")
	if !ok || digits == "" {
		return 0, p.fail(start, `\o needs octal digits in braces`)
	}
	return p.number(start, digits, 8)
}

// number converts the digits that text begins with.
func (p *parser) number(start int, text string, base int) (rune, error) {
	var r rune
	for i := range len(text) {
		if text[i] == '_' {
			continue
		}
		d, err := strconv.ParseUint(text[i:i+1], base, 8)
		if err != nil {
			break
		}
		if r = r*rune(base) + rune(d); r > 0x7fffff {
			return 0, p.fail(start, "code point too large")
		}
	}
	return r, nil
}
