package match

import (
	"fmt"
	"math/bits"
	"strings"
	"unicode"
)

// byteSet is a set of byte values. Every class, escape and folded letter of a
// pattern becomes one, so that the engine below never applies rules of its own.
type byteSet [4]uint64

func (s *byteSet) add(b byte) { s[b>>6] |= 1 << (b & 63) }

func (s *byteSet) remove(b byte) { s[b>>6] &^= 1 << (b & 63) }

func (s byteSet) has(b byte) bool { return s[b>>6]&(1<<(b&63)) != 0 }

func (s byteSet) union(t byteSet) byteSet {
	for i := range s {
		s[i] |= t[i]
	}
	return s
}

func (s byteSet) inverted() byteSet {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}

func (s byteSet) size() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// only returns the single member of a set of size one.
func (s byteSet) only() byte {
	for i, w := range s {
		if w != 0 {
			return byte(i<<6 + bits.TrailingZeros64(w))
		}
	}
	return 0
}

// setWhere collects the bytes, read as the code points 0 to 255, that satisfy f.
func setWhere(f func(r rune) bool) byteSet {
	var s byteSet
	for c := range 256 {
		if f(rune(c)) {
			s.add(byte(c))
		}
	}
	return s
}

func setOf(members string) byteSet {
	var s byteSet
	for i := range len(members) {
		s.add(members[i])
	}
	return s
}

// foldedAlone holds the code points above 255 that differ only in case from one
// below 256: long s, Kelvin, Angstrom, Y with diaeresis, the two mu, sharp S.
const foldedAlone = "\u017f\u212a\u212b\u0178\u039c\u03bc\u1e9e"

// foldByte returns the bytes equal to code point r when case is ignored.
func foldByte(r rune, rules charset) byteSet {
	var s byteSet
	if r < 256 {
		s.add(byte(r))
	}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		crosses := (f < 128) != (r < 128)
		if f < 256 && (rules.unicode() || f < 128 && r < 128) && !(crosses && rules == charsetASCIIStrict) {
			s.add(byte(f))
		}
	}
	return s
}

// folded adds to s every byte that differs only in case from a member.
func (s byteSet) folded(rules charset) byteSet {
	t := s
	for c := range 256 {
		if s.has(byte(c)) {
			t = t.union(foldByte(rune(c), rules))
		}
	}
	return t
}

// alphabet says which rune stands for a byte in the engine's input.
type alphabet bool

// latinHigh maps every byte to the code point of its value: Unicode semantics. The zero value
// maps 0x80-0xff into the private use area, where no Unicode table of the engine (\b, case
// folding) knows them: byte semantics.
const latinHigh alphabet = true

// privateBase + 0x80 is U+E080.
const privateBase = 0xE000

func (a alphabet) runeOf(b byte) rune {
	if b < 0x80 || a == latinHigh {
		return rune(b)
	}
	return privateBase + rune(b)
}

// source writes one byte in the engine's syntax, valid inside and outside a class.
func (a alphabet) source(b byte) string {
	switch {
	case b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z':
		return string(rune(b))
	case b < 0x80:
		return fmt.Sprintf(`\x%02X`, b)
	}
	return string(a.runeOf(b))
}

// setSource writes a set in the engine's syntax as one quantifiable atom.
func (a alphabet) setSource(s byteSet) string {
	switch s.size() {
	case 0:
		return "(?!)"
	case 1:
		return a.source(s.only())
	case 256:
		return "(?s:.)"
	}
	if out := s.inverted(); out.size() == 1 && out.has('\n') {
		return "."
	}
	in, out := a.ranges(s), a.ranges(s.inverted())
	if len(out) < len(in) {
		return "[^" + strings.Join(out, "") + "]"
	}
	return "[" + strings.Join(in, "") + "]"
}

// ranges lists the members as class ranges; none crosses 0x80, where the
// alphabet may have its gap.
func (a alphabet) ranges(s byteSet) []string {
	var parts []string
	for c := 0; c < 256; c++ {
		if !s.has(byte(c)) {
			continue
		}
		first := c
		for c < 255 && c != 0x7f && s.has(byte(c+1)) {
			c++
		}
		part := a.source(byte(first))
		if c > first {
			part += "-" + a.source(byte(c))
		}
		parts = append(parts, part)
	}
	return parts
}
