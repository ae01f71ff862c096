package lua

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// concat stands for the operator `..` of all its arguments: from the right, as the operator
// associates, in one go as long as they are strings and numbers.
func concat(L *lua.LState) int {
	n := L.GetTop()
	right := L.Get(n)
	for n--; n > 0; {
		first := n + 1
		size := textSize(right)
		if size >= 0 {
			for first > 1 {
				s := textSize(L.Get(first - 1))
				if s < 0 {
					break
				}
				size += s
				first--
			}
		}
		if first <= n {
			right = join(L, first, n, right, size)
			n = first - 1
			continue
		}
		right = concatMeta(L, L.Get(n), right)
		n--
	}
	L.Push(right)
	return 1
}

// join appends right to the arguments first to last, all of them size bytes.
func join(L *lua.LState, first, last int, right lua.LValue, size int) lua.LValue {
	charge(L, size)
	var b strings.Builder
	b.Grow(size)
	for i := first; i <= last; i++ {
		b.WriteString(L.Get(i).String())
	}
	b.WriteString(right.String())
	return lua.LString(b.String())
}

// textSize is how long v is as a string, at most; negative when it is none.
func textSize(v lua.LValue) int {
	switch v := v.(type) {
	case lua.LString:
		return len(v)
	case lua.LNumber:
		return 24
	default:
		return -1
	}
}

// concatMeta concatenates two values of which one at least is no string.
func concatMeta(L *lua.LState, left, right lua.LValue) lua.LValue {
	method := L.GetMetaField(left, "__concat")
	if method == lua.LNil {
		method = L.GetMetaField(right, "__concat")
	}
	if method == lua.LNil {
		bad := left
		if textSize(left) >= 0 {
			bad = right
		}
		L.RaiseError("attempt to concatenate a %s value", bad.Type())
	}
	L.Push(method)
	L.Push(left)
	L.Push(right)
	L.Call(2, 1)
	v := L.Get(-1)
	L.Pop(1)
	return v
}

// farIndex is from where on indexes are looked at.
const farIndex = 4096

// index looks at the key of an assignment, and if it knows it the table, before it is made.
func index(L *lua.LState) int {
	t, _ := L.Get(2).(*lua.LTable)
	assign(L, t, L.Get(1))
	L.SetTop(1)
	return 1
}

// assign looks at the key of an assignment to t, which may be nil. Beyond lua.MaxArrayIndex
// elements would no longer count for the length of an array, so an array that gets there is
// refused. Other large numbers are keys like any other. A jump far beyond the end of an array makes all
// that is between, and it grows by a quarter at a time: each copy counts.
func assign(L *lua.LState, t *lua.LTable, key lua.LValue) {
	k, ok := key.(lua.LNumber)
	if !ok || k < farIndex || k > lua.LNumber(lua.MaxArrayIndex) {
		return
	}
	if k == lua.LNumber(lua.MaxArrayIndex) {
		tooLong(L)
	}
	n := 0
	if t != nil {
		n = t.Len()
	}
	if jump := int(k) - n; jump > farIndex {
		reserve(L, 5*16*jump)
	}
}

func tooLong(L *lua.LState) {
	exceed(L, limit(fmt.Sprintf("an array of more than %d elements", maxArray-1)))
}

// tail looks at a function, or at the receiver of a method, that is about to be called in a tail
// call: these take no stack, but gopher-lua counts them for the trace that each error makes.
func tail(L *lua.LState) int {
	L.SetTop(1)
	r := runOf(L)
	if r.tails++; r.tails > maxTails {
		exceed(L, "too many tail calls")
	}
	return 1
}
