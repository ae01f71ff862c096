package lua

import (
	"sort"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// tableFunctions stand in for those of the library that take no heed of time or memory.
var tableFunctions = map[string]lua.LGFunction{
	"concat": tableConcat, "insert": tableInsert, "sort": tableSort,
}

func tableConcat(L *lua.LState) int {
	t, sep := L.CheckTable(1), L.OptString(2, "")
	i, j := L.OptInt(3, 1), L.OptInt(4, t.Len())
	m := meter{L: L}
	size := 0
	for k := i; k <= j; k++ {
		m.step(1)
		v := t.RawGetInt(k)
		n := textSize(v)
		if n < 0 {
			L.RaiseError("invalid value (%s) at index %d in table for 'concat'", v.Type(), k)
		}
		if size += n + len(sep); size > maxString {
			break // which charge refuses
		}
	}
	charge(L, size)
	var b strings.Builder
	b.Grow(size)
	for k := i; k <= j; k++ {
		if k > i {
			b.WriteString(sep)
		}
		b.WriteString(t.RawGetInt(k).String())
	}
	L.Push(lua.LString(b.String()))
	return 1
}

// tableInsert is table.insert(t, [position,] value). Positions are from 1 to one after the last.
func tableInsert(L *lua.LState) int {
	t := L.CheckTable(1)
	n := t.Len()
	if n+1 >= maxArray {
		tooLong(L)
	}
	switch L.GetTop() {
	case 2:
		t.RawSetInt(n+1, L.Get(2))
	case 3:
		at := L.CheckInt(2)
		if at < 1 || at > n+1 {
			L.ArgError(2, "position out of bounds")
		}
		t.Insert(at, L.Get(3))
	default:
		L.RaiseError("wrong number of arguments to 'insert'")
	}
	return 0
}

// tableSort sorts a copy and puts it back, so that a comparison may look at the table meanwhile.
func tableSort(L *lua.LState) int {
	t := L.CheckTable(1)
	by := &sorter{meter: meter{L: L}, values: make([]lua.LValue, t.Len())}
	charge(L, 16*len(by.values))
	if L.GetTop() > 1 && L.Get(2) != lua.LNil {
		by.less = L.CheckFunction(2)
	}
	for i := range by.values {
		by.values[i] = t.RawGetInt(i + 1)
	}
	sort.Sort(by)
	for i, v := range by.values {
		t.RawSetInt(i+1, v)
	}
	return 0
}

// sorter counts comparisons by what they look at.
type sorter struct {
	meter
	values []lua.LValue
	less   *lua.LFunction
}

func (s *sorter) Len() int      { return len(s.values) }
func (s *sorter) Swap(i, j int) { s.values[i], s.values[j] = s.values[j], s.values[i] }

func (s *sorter) Less(i, j int) bool {
	a, b := s.values[i], s.values[j]
	s.step(1 + max(0, min(textSize(a), textSize(b)))/64)
	if s.less == nil {
		return s.L.LessThan(a, b)
	}
	s.L.Push(s.less)
	s.L.Push(a)
	s.L.Push(b)
	s.L.Call(2, 1)
	v := s.L.Get(-1)
	s.L.Pop(1)
	return lua.LVAsBool(v)
}
