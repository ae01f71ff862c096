package lua

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// stringFunctions stand in for those of the library that take no heed of time or memory.
var stringFunctions = map[string]lua.LGFunction{
	"find": stringFind, "match": stringMatch, "gmatch": stringGmatch, "gsub": stringGsub,
	"format": stringFormat, "rep": stringRep, "lower": stringLower, "upper": stringUpper, "reverse": stringReverse,
}

func stringRep(L *lua.LState) int {
	s, n := L.CheckString(1), L.CheckInt(2)
	if n <= 0 || s == "" {
		L.Push(lua.LString(""))
		return 1
	}
	if n > maxString/len(s) {
		n = maxString/len(s) + 1 // more than there may be
	}
	charge(L, n*len(s))
	L.Push(lua.LString(strings.Repeat(s, n)))
	return 1
}

func stringLower(L *lua.LState) int { return mapped(L, 'A', 'Z') }
func stringUpper(L *lua.LState) int { return mapped(L, 'a', 'z') }

// mapped pushes the argument with the letters of ASCII from first to last in the other case.
func mapped(L *lua.LState, first, last byte) int {
	s := L.CheckString(1)
	charge(L, len(s))
	b := []byte(s)
	for i, c := range b {
		if first <= c && c <= last {
			b[i] = c ^ 0x20
		}
	}
	L.Push(lua.LString(b))
	return 1
}

func stringReverse(L *lua.LState) int {
	s := L.CheckString(1)
	charge(L, len(s))
	b := make([]byte, len(s))
	for i := range len(s) {
		b[len(s)-1-i] = s[i]
	}
	L.Push(lua.LString(b))
	return 1
}

func stringFind(L *lua.LState) int  { return search(L, true) }
func stringMatch(L *lua.LState) int { return search(L, false) }

// search is find and match. It starts where the third argument says, from 1, or from the end when
// negative.
func search(L *lua.LState, find bool) int {
	s, pat, init := L.CheckString(1), L.CheckString(2), L.OptInt(3, 1)
	if init < 0 {
		init = max(len(s)+init+1, 1)
	}
	init = min(max(init, 1), len(s)+1) - 1
	if find && (lua.LVAsBool(L.Get(4)) || plain(pat)) {
		i := strings.Index(s[init:], pat)
		if i < 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LNumber(init + i + 1))
		L.Push(lua.LNumber(init + i + len(pat)))
		return 2
	}
	m := newMatcher(L, s, pat)
	start, end := m.search(init)
	if start < 0 {
		L.Push(lua.LNil)
		return 1
	}
	if find {
		L.Push(lua.LNumber(start + 1))
		L.Push(lua.LNumber(end))
		return 2 + m.push(-1, -1)
	}
	return m.push(start, end)
}

// search finds the first match from init on; start -1: none.
func (m *matcher) search(init int) (start, end int) {
	p := 0
	if strings.HasPrefix(m.pat, "^") {
		p = 1
	}
	for s := init; s <= len(m.src); s++ {
		if e := m.at(s, p); e >= 0 {
			return s, e
		}
		if p == 1 {
			break
		}
	}
	return -1, -1
}

// push pushes the captures, or the whole match when there are none and start is not negative.
func (m *matcher) push(start, end int) int {
	if m.level == 0 && start < 0 {
		return 0
	}
	n := max(m.level, 1)
	for i := range n {
		m.L.Push(m.capture(i, start, end))
	}
	return n
}

// capture is the value of a capture, from 0. The first one of a pattern without any is the
// whole match.
func (m *matcher) capture(i, start, end int) lua.LValue {
	if i >= m.level {
		if i > 0 {
			m.L.RaiseError("invalid capture index")
		}
		return lua.LString(m.src[start:end])
	}
	c := m.captures[i]
	switch c.len {
	case captureOpen:
		m.L.RaiseError("unfinished capture")
	case capturePosition:
		return lua.LNumber(c.start + 1)
	}
	return lua.LString(m.src[c.start : c.start+c.len])
}

// stringGmatch gives back an iterator. Each of its calls has steps of its own.
func stringGmatch(L *lua.LState) int {
	s, pat := L.CheckString(1), L.CheckString(2)
	next := 0
	L.Push(L.NewFunction(func(L *lua.LState) int {
		m := newMatcher(L, s, pat)
		for ; next <= len(s); next++ {
			end := m.at(next, 0)
			if end < 0 {
				continue
			}
			start := next
			next = max(end, start+1)
			return m.push(start, end)
		}
		return 0
	}))
	return 1
}

func stringGsub(L *lua.LState) int {
	s, pat, limit := L.CheckString(1), L.CheckString(2), L.OptInt(4, maxString)
	L.CheckTypes(3, lua.LTString, lua.LTNumber, lua.LTTable, lua.LTFunction)
	m := newMatcher(L, s, pat)
	p := 0
	if strings.HasPrefix(pat, "^") {
		p = 1
	}
	var out strings.Builder
	room, copied, n, at := 0, 0, 0, 0
	add := func(text string) {
		if room -= len(text); room < 0 {
			room = max(len(text), out.Len(), 1024)
			charge(L, out.Len()+len(text))
		}
		out.WriteString(text)
	}
	for n < limit && at <= len(s) {
		end := m.at(at, p)
		if end >= 0 {
			n++
			add(s[copied:at])
			add(m.replacement(L.Get(3), at, end))
			copied = end
		}
		switch {
		case end > at:
			at = end
		default:
			at++
		}
		if p == 1 {
			break
		}
	}
	add(s[copied:])
	charge(L, out.Len())
	L.Push(lua.LString(out.String()))
	L.Push(lua.LNumber(n))
	return 2
}

// replacement is what gsub puts in place of a match. A table or function that gives nil or false
// leaves it as it is.
func (m *matcher) replacement(with lua.LValue, start, end int) string {
	var v lua.LValue
	switch with := with.(type) {
	case *lua.LTable:
		v = m.L.GetTable(with, m.capture(0, start, end))
	case *lua.LFunction:
		m.L.Push(with)
		m.L.Call(m.push(start, end), 1)
		v = m.L.Get(-1)
		m.L.Pop(1)
	default:
		return m.expand(with.String(), start, end)
	}
	if !lua.LVAsBool(v) {
		return m.src[start:end]
	}
	if textSize(v) < 0 {
		m.L.RaiseError("invalid replacement value (a %s)", v.Type())
	}
	return v.String()
}

// expand replaces %0 to %9 in a replacement by the match and its captures.
func (m *matcher) expand(with string, start, end int) string {
	if !strings.Contains(with, "%") {
		return with
	}
	var out strings.Builder
	for i := 0; i < len(with); i++ {
		if with[i] != '%' || i+1 == len(with) {
			out.WriteByte(with[i])
			continue
		}
		i++
		switch c := with[i]; {
		case c == '0':
			m.grow(&out, m.src[start:end])
		case isDigit(c):
			m.grow(&out, m.capture(int(c-'1'), start, end).String())
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// grow appends text to a replacement, in which few bytes may stand for many.
func (m *matcher) grow(out *strings.Builder, text string) {
	m.step(1 + len(text)/64)
	if out.Len()+len(text) > 64<<10 {
		charge(m.L, out.Len()+len(text))
	}
	out.WriteString(text)
}
