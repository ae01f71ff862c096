package match

import (
	"strconv"
)

// Limits of Perl's own compiler (perlre(1), perldiag(1)).
const (
	maxRepeat     = 65534
	maxLookbehind = 255
	maxNesting    = 1000
	// maxSource bounds what calls of groups may expand to; ours.
	maxSource = 1 << 18
)

// flags are the inline modifiers in force.
type flags struct {
	ignoreCase, multiLine, dotAll      bool
	extended, extendedClass, noCapture bool
	charset                            charset
}

// span is where a capture group's body stands in the pattern.
type span struct {
	start, end int
	flags      flags
}

// survey is what a first pass over the pattern learns: a reference may stand
// before its group, and one \p{..} gives the whole pattern Unicode rules.
type survey struct {
	groups  int
	names   map[string][]int
	spans   map[int]span
	unicode bool // Unicode rules from the first byte on
	marked  bool // some /u or /a: high bytes may have to fold
}

// parser translates one pattern. The first pass has no survey and believes every
// reference; the second one has it.
type parser struct {
	pattern string
	pos     int
	flags   flags
	groups  int     // capture groups opened so far
	depth   int     // of groups
	known   *survey // nil in the first pass
	found   survey  // filled in the first pass
	look    int     // lookarounds open
	calls   []int   // groups being expanded by (?1), innermost last
	size    int     // bytes of source made by calls
}

// translate returns the engine's form of a Perl pattern.
func translate(pattern string) (out piece, letters alphabet, groups int, err error) {
	first := &parser{pattern: pattern}
	first.found.names = map[string][]int{}
	first.found.spans = map[int]span{}
	if _, err := first.whole(); err != nil {
		return piece{}, false, 0, err
	}
	first.found.groups = first.groups
	second := &parser{pattern: pattern, known: &first.found}
	second.flags.charset = second.baseCharset()
	out, err = second.whole()
	return out, second.alphabet(), first.groups, err
}

// baseCharset is what the pattern starts with and (?^) goes back to.
func (p *parser) baseCharset() charset {
	if p.known != nil && p.known.unicode {
		return charsetUnicode
	}
	return charsetBytes
}

func (p *parser) alphabet() alphabet {
	return alphabet(p.known != nil && (p.known.unicode || p.known.marked))
}

func (p *parser) fail(offset int, reason string) error {
	return &SyntaxError{Pattern: p.pattern, Offset: min(offset, len(p.pattern)), Reason: reason}
}

func (p *parser) more() bool { return p.pos < len(p.pattern) }

// peek returns the next byte, 0 at the end.
func (p *parser) peek() byte { return p.at(0) }

func (p *parser) at(ahead int) byte {
	if p.pos+ahead < len(p.pattern) {
		return p.pattern[p.pos+ahead]
	}
	return 0
}

func (p *parser) eat(text string) bool {
	if len(p.pattern)-p.pos >= len(text) && p.pattern[p.pos:p.pos+len(text)] == text {
		p.pos += len(text)
		return true
	}
	return false
}

func (p *parser) whole() (piece, error) {
	out, err := p.alternatives(false)
	if err == nil && p.more() {
		err = p.fail(p.pos, "unmatched )")
	}
	return out, err
}

// alternatives reads branches up to a closing parenthesis or the end. With reset,
// every branch counts its groups from the same number on: (?|..).
func (p *parser) alternatives(reset bool) (piece, error) {
	p.depth++
	defer func(outer flags) { p.flags = outer; p.depth-- }(p.flags)
	if p.depth > maxNesting {
		return piece{}, p.fail(p.pos, "groups nested too deeply")
	}
	var branches []piece
	first, highest := p.groups, p.groups
	for {
		branch, err := p.sequence()
		if err != nil {
			return piece{}, err
		}
		branches = append(branches, branch)
		highest = max(highest, p.groups)
		if !p.eat("|") {
			break
		}
		if reset {
			p.groups = first
		}
	}
	p.groups = highest
	return alternativesOf(branches), nil
}

// sequence reads one branch.
func (p *parser) sequence() (piece, error) {
	var parts []piece
	for {
		if err := p.skipIgnored(); err != nil {
			return piece{}, err
		}
		if !p.more() || p.peek() == '|' || p.peek() == ')' {
			return sequenceOf(parts), nil
		}
		part, present, err := p.item()
		if err != nil {
			return piece{}, err
		}
		if !present {
			continue
		}
		if part, err = p.quantified(part); err != nil {
			return piece{}, err
		}
		parts = append(parts, part)
	}
}

// skipIgnored passes comments and, under /x, blanks.
func (p *parser) skipIgnored() error {
	for p.more() {
		switch {
		case p.eat("(?#"):
			start := p.pos - 3
			for p.more() && p.peek() != ')' {
				p.pos++
			}
			if !p.eat(")") {
				return p.fail(start, "comment (?#... not terminated")
			}
		case p.flags.extended && isPatternSpace(p.peek()):
			p.pos++
		case p.flags.extended && p.peek() == '#':
			for p.more() && p.peek() != '\n' {
				p.pos++
			}
		default:
			return nil
		}
	}
	return nil
}

// isPatternSpace tells what /x skips: Unicode's Pattern_White_Space.
func isPatternSpace(b byte) bool {
	return b >= '\t' && b <= '\r' || b == ' ' || b == 0x85
}

// item reads one atom without its quantifier. It reports false for inline flags,
// which are no atom.
func (p *parser) item() (piece, bool, error) {
	start := p.pos
	switch c := p.peek(); c {
	case '*', '+', '?':
		return piece{}, false, p.fail(start, "quantifier follows nothing")
	case '(':
		return p.group()
	case '[':
		p.pos++
		set, err := p.class(start)
		return p.setPiece(set), true, err
	case '\\':
		p.pos++
		out, err := p.escape()
		return out, true, err
	case '.':
		p.pos++
		if p.flags.dotAll {
			return p.setPiece(allBytes), true, nil
		}
		return p.setPiece(notNewline), true, nil
	case '^':
		p.pos++
		return p.lineStart(), true, nil
	case '$':
		p.pos++
		if p.flags.multiLine {
			return assertion("(?m:$)"), true, nil
		}
		return assertion(`\Z`), true, nil
	case '{':
		if start >= 2 && isAlpha(p.pattern[start-1]) && p.pattern[start-2] == '\\' {
			return piece{}, false, p.fail(start, "unescaped { after an escape; write \\{")
		}
		p.pos++
		return p.literalByte(c), true, nil
	default:
		p.pos++
		return p.literalByte(c), true, nil
	}
}

const engineLineStart = "(?m:^)"

func (p *parser) lineStart() piece {
	if !p.flags.multiLine {
		return assertion(`\A`)
	}
	out := assertion(`(?:` + engineLineStart + `(?!(?<=\n)\z))`)
	out.lineStart = true
	return out
}

// quantified reads the quantifier of an atom, if one follows.
func (p *parser) quantified(atom piece) (piece, error) {
	if err := p.skipIgnored(); err != nil {
		return atom, err
	}
	q, present, err := p.quantifier()
	if err != nil || !present {
		return atom, err
	}
	if err := p.skipIgnored(); err != nil {
		return atom, err
	}
	if c := p.peek(); c == '?' || c == '+' {
		q.manner = c
		p.pos++
		if err := p.skipIgnored(); err != nil {
			return atom, err
		}
	}
	start := p.pos
	if _, again, err := p.quantifier(); err != nil || again {
		return atom, p.fail(start, "nested quantifiers")
	}
	if atom.keep && q.max == unbounded {
		return atom, p.fail(start, `\K repeated without limit`)
	}
	return atom.repeated(q, p.spareGroup()), nil
}

// spareGroup is a group number above all of the pattern's.
func (p *parser) spareGroup() int {
	if p.known == nil {
		return 1
	}
	return p.known.groups + 1
}

// quantifier reads *, +, ? or {n,m}. A brace that is none of these is a literal.
func (p *parser) quantifier() (quantifier, bool, error) {
	start := p.pos
	switch p.peek() {
	case '*':
		p.pos++
		return quantifier{min: 0, max: unbounded}, true, nil
	case '+':
		p.pos++
		return quantifier{min: 1, max: unbounded}, true, nil
	case '?':
		p.pos++
		return quantifier{min: 0, max: 1}, true, nil
	case '{':
		low, high, comma, ok := p.braces()
		if !ok {
			p.pos = start
			return quantifier{}, false, nil
		}
		q := quantifier{max: unbounded}
		q.min = repeatCount(low, 0)
		if high != "" {
			q.max = repeatCount(high, 0)
		} else if !comma {
			q.max = q.min
		}
		if q.min > maxRepeat || q.max > maxRepeat && q.max != unbounded {
			return q, true, p.fail(start, "repeat count above "+strconv.Itoa(maxRepeat))
		}
		return q, true, nil
	}
	return quantifier{}, false, nil
}

// braces reads {n}, {n,}, {,m} or {n,m}, with blanks allowed around the numbers.
func (p *parser) braces() (low, high string, comma, ok bool) {
	p.pos++
	p.blanks()
	low = p.digits()
	p.blanks()
	if p.eat(",") {
		comma = true
		p.blanks()
		high = p.digits()
		p.blanks()
	}
	return low, high, comma, p.eat("}") && low+high != ""
}

func (p *parser) blanks() {
	for p.peek() == ' ' || p.peek() == '\t' {
		p.pos++
	}
}

func (p *parser) digits() string {
	start := p.pos
	for isDigit(p.peek()) {
		p.pos++
	}
	return p.pattern[start:p.pos]
}

// repeatCount reads digits, saturating just above the limit.
func repeatCount(digits string, empty int) int {
	if digits == "" {
		return empty
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > maxRepeat {
		return maxRepeat + 1
	}
	return n
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isAlpha(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func isWordByte(b byte) bool { return isAlpha(b) || isDigit(b) || b == '_' }
