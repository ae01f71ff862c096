package match

import "unicode"

// charset is the set of rules by which bytes from 0x80 on are letters, blanks
// and so on: perlre(1), "Character set modifiers".
type charset byte

const (
	// charsetBytes is the default (and, in the C locale, /l): only ASCII has case
	// and classes.
	charsetBytes charset = iota
	// charsetUnicode (/u): bytes are the code points 0 to 255.
	charsetUnicode
	// charsetASCII (/a): classes are ASCII, case is Unicode's.
	charsetASCII
	// charsetASCIIStrict (/aa): as /a, and no ASCII letter equals a non-ASCII one.
	charsetASCIIStrict
)

// unicode tells whether letters from 0x80 on have case.
func (c charset) unicode() bool { return c != charsetBytes }

// wide tells whether classes reach beyond ASCII.
func (c charset) wide() bool { return c == charsetUnicode }

func isASCII(r rune) bool { return r < 0x80 }

// These four do not depend on the character set in force.
var (
	horizontalSpace = setOf("\t \xa0")
	verticalSpace   = setOf("\n\v\f\r\x85")
	allBytes        = byteSet{}.inverted()
	notNewline      = setOf("\n").inverted()
)

// posixTest returns the membership test of a POSIX class over the code points
// 0 to 255 under Unicode rules, nil for an unknown name. The ASCII version of a
// class is the same test cut at 0x80.
func posixTest(name string) func(rune) bool {
	switch name {
	case "alpha":
		return unicode.IsLetter
	case "digit":
		return func(r rune) bool { return r >= '0' && r <= '9' }
	case "alnum":
		return func(r rune) bool { return unicode.IsLetter(r) || r >= '0' && r <= '9' }
	case "word":
		return func(r rune) bool { return unicode.IsLetter(r) || r >= '0' && r <= '9' || r == '_' }
	case "upper":
		return unicode.IsUpper
	case "lower":
		return isLowercase
	case "space":
		return unicode.IsSpace
	case "blank":
		return func(r rune) bool { return r == ' ' || r == '\t' || r == 0xa0 }
	case "cntrl":
		return unicode.IsControl
	case "graph":
		return isGraph
	case "print":
		return func(r rune) bool { return isGraph(r) || r == ' ' || r == 0xa0 }
	case "punct":
		return func(r rune) bool { return unicode.IsPunct(r) || r < 0x80 && unicode.IsSymbol(r) }
	case "xdigit":
		return func(r rune) bool { return isASCII(r) && isHex(byte(r)) }
	case "ascii":
		return isASCII
	}
	return nil
}

// isLowercase is Unicode's Lowercase property: the two ordinal indicators
// belong to it without being of category Ll.
func isLowercase(r rune) bool { return unicode.IsLower(r) || r == 0xaa || r == 0xba }

func isCased(r rune) bool { return isLowercase(r) || unicode.IsUpper(r) }

func isGraph(r rune) bool { return !unicode.IsControl(r) && !unicode.IsSpace(r) }

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// posixSet is the set of [:name:] under the given rules. Ignoring case, upper
// and lower both mean any cased letter.
func posixSet(name string, rules charset, ignoreCase bool) (byteSet, bool) {
	test := posixTest(name)
	if test == nil {
		return byteSet{}, false
	}
	if ignoreCase && (name == "upper" || name == "lower") {
		test = isCased
	}
	if rules.wide() {
		return setWhere(test), true
	}
	return setWhere(func(r rune) bool { return isASCII(r) && test(r) }), true
}

// shorthand is the set of the class escapes \d \s \w \h \v \N and their
// complements.
func shorthand(letter byte, rules charset) (byteSet, bool) {
	var set byteSet
	switch letter | 0x20 {
	case 'd':
		set, _ = posixSet("digit", rules, false)
	case 's':
		set, _ = posixSet("space", rules, false)
	case 'w':
		set, _ = posixSet("word", rules, false)
	case 'h':
		set = horizontalSpace
	case 'v':
		set = verticalSpace
	default:
		return set, false
	}
	if letter < 'a' {
		set = set.inverted()
	}
	return set, true
}
