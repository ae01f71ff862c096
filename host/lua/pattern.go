package lua

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// maxCaptures and maxRecursion are those of Lua 5.1 (LUA_MAXCAPTURES, MAXCCALLS).
const (
	maxCaptures  = 32
	maxRecursion = 200
)

// Lengths of captures that are not spans.
const (
	captureOpen     = -1 // its ")" has not come yet
	capturePosition = -2 // "()": where it is
)

// matcher matches a pattern of the Lua 5.1 reference manual (5.4.1), counting its steps. It
// raises errors in L. Offsets are from 0.
type matcher struct {
	meter
	src, pat string
	level    int // captures so far
	captures [maxCaptures]struct{ start, len int }
	depth    int
}

func newMatcher(L *lua.LState, src, pat string) *matcher {
	return &matcher{meter: meter{L: L}, src: src, pat: pat}
}

// at matches the pattern from its offset p with the subject from s, afresh; it returns where
// the match ends, or -1.
func (m *matcher) at(s, p int) int {
	m.level, m.depth = 0, 0
	return m.match(s, p)
}

// match is at in the middle of a match. Each way to fail gives back -1.
func (m *matcher) match(s, p int) int {
	if m.depth++; m.depth > maxRecursion {
		m.L.RaiseError("pattern too complex")
	}
	defer func() { m.depth-- }()
	for {
		m.step(1)
		if p == len(m.pat) {
			return s
		}
		switch m.pat[p] {
		case '(':
			if p+1 < len(m.pat) && m.pat[p+1] == ')' {
				return m.open(s, p+2, capturePosition)
			}
			return m.open(s, p+1, captureOpen)
		case ')':
			return m.close(s, p+1)
		case '$':
			if p+1 == len(m.pat) {
				if s == len(m.src) {
					return s
				}
				return -1
			}
		case '%':
			next, end, handled := m.escape(s, p)
			if handled {
				if end < 0 {
					return -1
				}
				s, p = end, next
				continue
			}
		}
		end, done := m.item(&s, &p)
		if done {
			return end
		}
	}
}

// escape handles %b, %f and %1 to %9, whose match ends at end and which next follows.
func (m *matcher) escape(s, p int) (next, end int, handled bool) {
	if p+1 == len(m.pat) {
		m.L.RaiseError("malformed pattern (ends with '%%')")
	}
	switch c := m.pat[p+1]; {
	case c == 'b':
		return p + 4, m.balance(s, p+2), true
	case c == 'f':
		return m.frontier(s, p+2)
	case '0' <= c && c <= '9':
		return p + 2, m.back(s, c), true
	}
	return 0, 0, false
}

// item matches one character class with what repeats it. Done: end is the result; else s and
// p have moved on.
func (m *matcher) item(s, p *int) (end int, done bool) {
	after := m.classEnd(*p)
	fits := *s < len(m.src) && m.single(m.src[*s], *p, after)
	var repeat byte
	if after < len(m.pat) {
		repeat = m.pat[after]
	}
	switch repeat {
	case '?':
		if fits {
			if end := m.match(*s+1, after+1); end >= 0 {
				return end, true
			}
		}
		*p = after + 1
		return 0, false
	case '+':
		if !fits {
			return -1, true
		}
		return m.most(*s+1, *p, after), true
	case '*':
		return m.most(*s, *p, after), true
	case '-':
		return m.least(*s, *p, after), true
	}
	if !fits {
		return -1, true
	}
	*s, *p = *s+1, after
	return 0, false
}

// most repeats the class at p as often as it can, then less and less often.
func (m *matcher) most(s, p, after int) int {
	n := 0
	for s+n < len(m.src) && m.single(m.src[s+n], p, after) {
		m.step(1)
		n++
	}
	for ; n >= 0; n-- {
		if end := m.match(s+n, after+1); end >= 0 {
			return end
		}
	}
	return -1
}

// least repeats the class at p as rarely as it can.
func (m *matcher) least(s, p, after int) int {
	for {
		if end := m.match(s, after+1); end >= 0 {
			return end
		}
		m.step(1)
		if s == len(m.src) || !m.single(m.src[s], p, after) {
			return -1
		}
		s++
	}
}

func (m *matcher) open(s, p, length int) int {
	if m.level == maxCaptures {
		m.L.RaiseError("too many captures")
	}
	m.captures[m.level].start, m.captures[m.level].len = s, length
	m.level++
	end := m.match(s, p)
	if end < 0 {
		m.level--
	}
	return end
}

func (m *matcher) close(s, p int) int {
	for l := m.level - 1; l >= 0; l-- {
		if m.captures[l].len != captureOpen {
			continue
		}
		m.captures[l].len = s - m.captures[l].start
		end := m.match(s, p)
		if end < 0 {
			m.captures[l].len = captureOpen
		}
		return end
	}
	m.L.RaiseError("invalid pattern capture")
	return -1
}

// back matches what a capture matched.
func (m *matcher) back(s int, digit byte) int {
	l := int(digit) - '1'
	if l < 0 || l >= m.level || m.captures[l].len == captureOpen {
		m.L.RaiseError("invalid capture index")
	}
	c := m.captures[l]
	if c.len < 0 {
		return -1
	}
	m.step(1 + c.len/16)
	if strings.HasPrefix(m.src[s:], m.src[c.start:c.start+c.len]) {
		return s + c.len
	}
	return -1
}

// balance matches %bxy, whose xy is at p.
func (m *matcher) balance(s, p int) int {
	if p+1 >= len(m.pat) {
		m.L.RaiseError("unbalanced pattern")
	}
	if s == len(m.src) || m.src[s] != m.pat[p] {
		return -1
	}
	open := 1
	for i := s + 1; i < len(m.src); i++ {
		m.step(1)
		switch m.src[i] {
		case m.pat[p+1]:
			if open--; open == 0 {
				return i + 1
			}
		case m.pat[p]:
			open++
		}
	}
	return -1
}

// frontier matches %f[set], whose set is at p: between a character outside the set and one in it.
func (m *matcher) frontier(s, p int) (next, end int, handled bool) {
	if p >= len(m.pat) || m.pat[p] != '[' {
		m.L.RaiseError("missing '[' after '%%f' in pattern")
	}
	after := m.classEnd(p)
	var before, here byte
	if s > 0 {
		before = m.src[s-1]
	}
	if s < len(m.src) {
		here = m.src[s]
	}
	m.step((after - p) / 4) // it is gone through twice
	if !m.set(before, p, after-1) && m.set(here, p, after-1) {
		return after, s, true
	}
	return after, -1, true
}
