package lua

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Functions of the standard libraries that scripts get as gopher-lua has them. What is in none of these
// lists and not replaced is left out: whatever reads files, runs programs, compiles text, or
// changes what other runs see.
var (
	plainBase = strings.Fields("assert error ipairs next pairs pcall rawequal rawget select tonumber tostring type unpack xpcall")
	plainMath = strings.Fields(`abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp ldexp log log10 max min
		mod modf pow rad random sin sinh sqrt tan tanh pi huge`)
	plainString    = strings.Fields("byte char len sub")
	plainTable     = strings.Fields("getn maxn remove")
	plainCoroutine = strings.Fields("running status yield")
	plainOS        = strings.Fields("clock time")
)

// baseFunctions stand in for those of the library.
var baseFunctions = map[string]lua.LGFunction{
	"getmetatable": getMetatable, "setmetatable": setMetatable, "rawset": rawSet, "print": printLine, "exit": exit,
}

// getMetatable knows those of tables alone: others are shared by all runs.
func getMetatable(L *lua.LState) int {
	t, ok := L.CheckAny(1).(*lua.LTable)
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(L.GetMetatable(t))
	if hidden := L.GetMetaField(t, "__metatable"); hidden != lua.LNil {
		L.Push(hidden)
	}
	return 1
}

func setMetatable(L *lua.LState) int {
	t := L.CheckTable(1)
	L.CheckTypes(2, lua.LTNil, lua.LTTable)
	if L.GetMetaField(t, "__metatable") != lua.LNil {
		L.RaiseError("cannot change a protected metatable")
	}
	L.SetMetatable(t, L.Get(2))
	L.SetTop(1)
	return 1
}

func rawSet(L *lua.LState) int {
	t, k, v := L.CheckTable(1), L.CheckAny(2), L.CheckAny(3)
	assign(L, t, k)
	L.RawSet(t, k, v)
	L.SetTop(1)
	return 1
}

// printLine logs its arguments: a daemon has no terminal.
func printLine(L *lua.LState) int {
	var line strings.Builder
	for i := range L.GetTop() {
		if i > 0 {
			line.WriteByte('\t')
		}
		if line.Len() <= maxLine {
			line.WriteString(L.ToStringMeta(L.Get(i + 1)).String())
		}
	}
	runOf(L).print("info", line.String())
	return 0
}

// exit ends the run, whatever calls it; its arguments are the verdict, as if returned, and none
// is 0.
func exit(L *lua.LState) int {
	r := runOf(L)
	for i := range L.GetTop() {
		r.result = append(r.result, L.Get(i+1))
	}
	r.cancel(errExit)
	r.ended = true
	L.RaiseError("exit")
	return 0
}

// osDate refuses formats that are longer than any date.
func osDate(original lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		if len(L.OptString(1, "")) > 256 {
			L.ArgError(1, "format too long")
		}
		return original(L)
	}
}
