package lua

import "strings"

// classEnd returns what follows the character class at p of the pattern.
func (m *matcher) classEnd(p int) int {
	c, start := m.pat[p], p
	p++
	switch c {
	case '%':
		if p == len(m.pat) {
			m.L.RaiseError("malformed pattern (ends with '%%')")
		}
		return p + 1
	case '[':
		if p < len(m.pat) && m.pat[p] == '^' {
			p++
		}
		for first := true; first || p < len(m.pat) && m.pat[p] != ']'; first = false {
			if p >= len(m.pat) {
				break
			}
			if m.pat[p] == '%' {
				p++
			}
			p++
		}
		if p >= len(m.pat) {
			m.L.RaiseError("malformed pattern (missing ']')")
		}
		m.step((p - start) / 8)
		return p + 1
	}
	return p
}

// single says whether c is of the class at p, which ends before after.
func (m *matcher) single(c byte, p, after int) bool {
	switch m.pat[p] {
	case '.':
		return true
	case '%':
		return class(c, m.pat[p+1])
	case '[':
		m.step((after - p) / 8)
		return m.set(c, p, after-1)
	default:
		return m.pat[p] == c
	}
}

// set says whether c is in the set that opens at p and whose "]" is at last.
func (m *matcher) set(c byte, p, last int) bool {
	in := true
	p++
	if m.pat[p] == '^' {
		in = false
		p++
	}
	for ; p < last; p++ {
		switch {
		case m.pat[p] == '%':
			p++
			if class(c, m.pat[p]) {
				return in
			}
		case p+2 < last && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return in
			}
			p += 2
		case m.pat[p] == c:
			return in
		}
	}
	return !in
}

// class says whether c is of the class %name; a capital letter is its complement, and what is no
// letter of a class is itself. Letters are those of ASCII, whatever the locale.
func class(c, name byte) bool {
	var in bool
	switch name | 0x20 {
	case 'a':
		in = isLetter(c)
	case 'c':
		in = c < ' ' || c == 0x7f
	case 'd':
		in = isDigit(c)
	case 'l':
		in = 'a' <= c && c <= 'z'
	case 'p':
		in = ' ' < c && c < 0x7f && !isLetter(c) && !isDigit(c)
	case 's':
		in = c == ' ' || '\t' <= c && c <= '\r'
	case 'u':
		in = 'A' <= c && c <= 'Z'
	case 'w':
		in = isLetter(c) || isDigit(c)
	case 'x':
		in = isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
	case 'z':
		in = c == 0
	default:
		return name == c
	}
	switch {
	case 'a' <= name && name <= 'z':
		return in
	case 'A' <= name && name <= 'Z':
		return !in
	default: // a control character, which the bit made a letter
		return name == c
	}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// plain says whether a pattern has nothing but characters that stand for themselves.
func plain(pattern string) bool { return !strings.ContainsAny(pattern, "^$*+?.([%-") }
