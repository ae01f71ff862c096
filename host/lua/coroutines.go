package lua

import (
	lua "github.com/yuin/gopher-lua"
)

// coroutineSize is what the stacks of a coroutine take, in bytes.
const coroutineSize = 48 << 10

// coroutines are the functions of the coroutine library that have to be told of the run: a
// coroutine counts into it like the script itself. What they do is left to those of gopher-lua.
type coroutines struct{ create, wrap, resume lua.LGFunction }

func newCoroutines(library *lua.LTable) coroutines {
	original := func(name string) lua.LGFunction {
		return library.RawGetString(name).(*lua.LFunction).GFunction
	}
	return coroutines{create: original("create"), wrap: original("wrap"), resume: original("resume")}
}

// make has a coroutine made by f, which leaves what stands for it on the stack.
//
// While it does, L has no context: gopher-lua would derive one for each coroutine, and keep
// them all until the run is over.
func (c coroutines) make(L *lua.LState, f lua.LGFunction) {
	L.CheckFunction(1)
	charge(L, coroutineSize)
	r := L.RemoveContext()
	f(L)
	L.SetContext(r)
}

func (c coroutines) doCreate(L *lua.LState) int {
	c.make(L, c.create)
	L.Get(-1).(*lua.LState).SetContext(L.Context())
	return 1
}

// doWrap gives a function of ours the coroutine that is the upvalue of the original's.
func (c coroutines) doWrap(L *lua.LState) int {
	c.make(L, c.wrap)
	original := L.Get(-1).(*lua.LFunction)
	thread := original.Upvalues[0].Value()
	thread.(*lua.LState).SetContext(L.Context())
	L.Pop(1)
	L.Push(L.NewClosure(func(L *lua.LState) int { return deeper(L, original.GFunction) }, thread))
	return 1
}

func (c coroutines) doResume(L *lua.LState) int { return deeper(L, c.resume) }

// deeper runs a coroutine. Each one that waits for another takes of the stack of the goroutine,
// whose end would be the end of the daemon.
func deeper(L *lua.LState, resume lua.LGFunction) int {
	r := runOf(L)
	if r.depth++; r.depth > maxResumes {
		r.depth--
		exceed(L, "coroutines resume one another too deeply")
	}
	defer func() { r.depth-- }()
	return resume(L)
}
