package match

import (
	"fmt"
	"strconv"
	"strings"
)

// unbounded is the width (in bytes) and the repeat count "no limit". Finite
// widths saturate one below it.
const unbounded = 1 << 30

// piece is a translated part of a pattern.
type piece struct {
	source   string // in the engine's syntax
	min, max int    // width in bytes of what it can match
	// atom: a quantifier may follow source directly.
	atom bool
	// literal: it matches exactly the bytes in needed, and nothing else.
	literal bool
	// needed is a string that every match contains; "" when none is known.
	needed string
	// lineStart marks the /m form of ^, see sequenceOf.
	lineStart bool
	// keep marks \K, which Perl does not repeat without limit.
	keep bool
	// oneWay, when not empty, names a construct that gives another answer when
	// it is matched from right to left, as the engine does inside a lookbehind.
	oneWay string
	// atomics: an atomic group is somewhere inside.
	atomics bool
	// nested counts the groups inside one another, see fenced.
	nested int
}

func addWidth(a, b int) int {
	if a == unbounded || b == unbounded {
		return unbounded
	}
	return min(a+b, unbounded-1)
}

// timesWidth repeats a width. No limit stays none even when repeated zero times:
// so Perl measures what a lookbehind may contain.
func timesWidth(a, n int) int {
	switch {
	case a == unbounded:
		return unbounded
	case a == 0 || n == 0:
		return 0
	case n == unbounded:
		return unbounded
	case a > (unbounded-1)/n:
		return unbounded - 1
	}
	return a * n
}

// nothing matches the empty string; it is what \K comes to.
func nothing() piece {
	return piece{source: "(?:)", atom: true, literal: true}
}

// assertion is a zero-width piece.
func assertion(source string) piece {
	return piece{source: source, atom: true}
}

func (p *parser) literalByte(b byte) piece {
	return p.foldedLiteral(rune(b))
}

// foldedLiteral is a single character of the pattern, under the flags in force.
// A code point above 255 is in no answer, but may equal a byte when case is
// ignored.
func (p *parser) foldedLiteral(r rune) piece {
	var set byteSet
	if p.flags.ignoreCase {
		set = foldByte(r, p.flags.charset)
	} else if r < 256 {
		set.add(byte(r))
	}
	return p.setPiece(set)
}

func (p *parser) setPiece(s byteSet) piece {
	out := piece{source: p.alphabet().setSource(s), min: 1, max: 1, atom: true}
	if s.size() == 1 {
		out.literal, out.needed = true, string([]byte{s.only()})
	}
	return out
}

// sequenceOf joins pieces that follow one another.
func sequenceOf(parts []piece) piece {
	out := piece{literal: true}
	var source strings.Builder
	run := "" // literal bytes up to here
	for i, part := range parts {
		text := part.source
		// Perl's /m ^ does not match after a final newline. The engine's does,
		// which shows only if nothing has to follow.
		if part.lineStart && i+1 < len(parts) && parts[i+1].min > 0 {
			text = engineLineStart
		}
		source.WriteString(text)
		out.min, out.max = addWidth(out.min, part.min), addWidth(out.max, part.max)
		if part.literal {
			run += part.needed
		} else {
			out.literal = false
			run = ""
		}
		out.needed = longer(longer(out.needed, part.needed), run)
		if out.oneWay == "" {
			out.oneWay = part.oneWay
		}
		out.atomics = out.atomics || part.atomics
		out.nested = max(out.nested, part.nested)
	}
	out.source = source.String()
	out.atom = len(parts) == 1 && parts[0].atom
	out.lineStart = len(parts) == 1 && parts[0].lineStart
	return out
}

func longer(a, b string) string {
	if len(b) > len(a) {
		return b
	}
	return a
}

// alternativesOf joins the branches of a group. Its source stands bare: whoever
// embeds it puts a group around it.
func alternativesOf(branches []piece) piece {
	if len(branches) == 1 {
		return branches[0]
	}
	out := branches[0]
	sources := make([]string, len(branches))
	for i, b := range branches {
		sources[i] = b.source
		out.min, out.max = min(out.min, b.min), max(out.max, b.max)
		if out.oneWay == "" {
			out.oneWay = b.oneWay
		}
		out.atomics = out.atomics || b.atomics
		out.nested = max(out.nested, b.nested)
	}
	out.source = strings.Join(sources, "|")
	out.atom, out.literal, out.needed, out.lineStart = false, false, "", false
	return out
}

// enclosed puts a non-capturing group around a piece, or the group that open
// begins.
func (b piece) enclosed(open string) piece {
	b.source = open + b.source + ")"
	b.atom, b.lineStart = true, false
	return b
}

// maxUnfenced is how many groups may stand inside one another without a fence.
const maxUnfenced = 8

// fenced keeps the engine's optimizer, whose time doubles with every group that
// ends (or in a lookbehind begins) another one, from looking further inside: an
// empty capture, of a group number that nothing refers to, goes to both ends.
func (b piece) fenced(spareGroup int) piece {
	b.nested++
	if b.nested <= maxUnfenced {
		return b
	}
	fence := "(?<" + strconv.Itoa(spareGroup) + ">)"
	b.source = fence + "(?:" + b.source + ")" + fence
	b.atom, b.lineStart, b.nested = false, false, 0
	return b
}

// quantifier is a repeat count with its manner.
type quantifier struct {
	min, max int
	manner   byte // '?' lazy, '+' possessive, 0 greedy
}

func (q quantifier) String() string {
	var s string
	switch {
	case q.max == unbounded && q.min == 0:
		s = "*"
	case q.max == unbounded && q.min == 1:
		s = "+"
	case q.max == unbounded:
		s = fmt.Sprintf("{%d,}", q.min)
	case q.min == 0 && q.max == 1:
		s = "?"
	case q.min == q.max:
		s = fmt.Sprintf("{%d}", q.min)
	default:
		s = fmt.Sprintf("{%d,%d}", q.min, q.max)
	}
	if q.manner == '?' {
		s += "?"
	}
	return s
}

// repeated applies a quantifier. Perl accepts {2,1} and never matches it. The
// engine takes (?>x+)? for (?>(?:x+)?); a capture in between, of a group number
// that nothing refers to, keeps it from that.
func (b piece) repeated(q quantifier, spareGroup int) piece {
	if b.atomics {
		b = b.enclosed("(?<" + strconv.Itoa(spareGroup) + ">")
	} else if !b.atom {
		b = b.enclosed("(?:")
	}
	if q.min > q.max {
		b.source = "(?:(?!)" + b.source + ")"
		b.literal, b.needed, b.lineStart = false, "", false
		return b
	}
	b.source += q.String()
	b.min, b.max = timesWidth(b.min, q.min), timesWidth(b.max, q.max)
	b.atom, b.literal, b.lineStart = false, false, false
	if q.min == 0 {
		b.needed = ""
	}
	if q.manner == '+' {
		return b.atomic()
	}
	return b
}

// atomic forbids going back into a piece.
func (b piece) atomic() piece {
	b = b.enclosed("(?>")
	b.atomics = true
	if b.min != b.max {
		b.oneWay = "an atomic or possessive part of variable length"
	}
	return b
}
