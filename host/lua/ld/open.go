package ld

import (
	"maps"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
)

// api is what the functions of one Lua state share. Nothing in it speaks of a run but current.
type api struct {
	state    *State
	failures *failures
	words    jsonWords
	conns    *lua.LTable // metatable of connections
	patterns patterns
	current  *run
}

// run is what one Call has opened.
type run struct {
	call      *Call
	tape      *Tape
	streams   map[*stream]struct{}
	open      int // connections, now
	connected int // connections ever: the last one's number
	owed      int // bytes received that the memory budget was not asked for yet
}

// block is how many bytes the memory budget is asked for at a time.
const block = 128 << 10

// charge asks the memory budget for n bytes that were received: they take twice that while the
// buffer grows.
func (r *run) charge(n int) error {
	if r.owed += 2 * n; r.owed < block {
		return nil
	}
	owed := r.owed
	r.owed = 0
	if err := r.call.Charge(owed); err != nil {
		return limited("%v", err)
	}
	return nil
}

// Open makes the table `ld` of a Lua state, once for all its runs.
func Open(L *lua.LState, s *State) *lua.LTable {
	a := &api{state: s, failures: newFailures(L)}
	t := L.NewTable()
	a.words = jsonWords{null: L.NewUserData(), array: L.NewTable()}
	a.words.array.RawSetString("__metatable", lua.LString("array"))
	a.conns = a.connectionMethods(L)
	set(L, t, map[string]lua.LGFunction{
		"option": a.option, "match": a.match, "pack": a.pack, "unpack": a.unpack, "hex": a.hex, "unhex": a.unhex,
		"md5": a.md5, "sha1": a.sha1, "sha256": a.sha256, "hmac": a.hmac,
		"sleep": a.sleep, "now": a.now, "random": a.random, "log": a.log,
		"tcp": a.tcp, "udp": a.udp, "http": a.http, "dns": a.dns,
	})
	t.RawSetString("json", set(L, L.NewTable(), map[string]lua.LGFunction{"encode": a.jsonEncode, "decode": a.jsonDecode}))
	t.RawGetString("json").(*lua.LTable).RawSetString("null", a.words.null)
	t.RawGetString("json").(*lua.LTable).RawSetString("array", a.words.array)
	t.RawSetString("base64", set(L, L.NewTable(), map[string]lua.LGFunction{"encode": a.base64Encode, "decode": a.base64Decode}))
	meta := L.NewTable()
	meta.RawSetString("__index", L.NewFunction(a.index))
	meta.RawSetString("__metatable", lua.LString("ld"))
	t.Metatable = meta
	return t
}

func set(L *lua.LState, t *lua.LTable, functions map[string]lua.LGFunction) *lua.LTable {
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		t.RawSetString(name, L.NewFunction(functions[name]))
	}
	return t
}

// addressArgs are the first of a call's arguments: they say where to look.
const addressArgs = 4

// run is what belongs to the call under way. It ends with the call.
func (a *api) run() *run {
	if a.current == nil {
		r := &run{call: a.state.Call, tape: tapeOf(a.state.Call.Ctx), streams: map[*stream]struct{}{}}
		a.current = r
		if r.tape != nil && len(r.call.Args) > addressArgs {
			r.tape.args = slices.Clone(r.call.Args[addressArgs:])
		}
		r.call.OnEnd(func() {
			for s := range r.streams {
				s.close()
			}
			a.current = nil
		})
	}
	return a.current
}

// index is what depends on the run: ld.args, ld.service, ld.target.
func (a *api) index(L *lua.LState) int {
	call := a.state.Call
	switch L.CheckString(2) {
	case "args":
		t := L.NewTable()
		for _, arg := range call.Args {
			t.Append(lua.LString(arg))
		}
		L.Push(t)
	case "service":
		L.Push(lua.LString(call.Target.Service))
	case "network":
		L.Push(lua.LString(call.Target.Network))
	case "host":
		L.Push(lua.LString(call.Target.Addr.Addr().String()))
	case "port":
		L.Push(lua.LNumber(call.Target.Addr.Port()))
	default:
		L.Push(lua.LNil)
	}
	return 1
}

// option is ld.option(name [, default]).
func (a *api) option(L *lua.LState) int {
	name := L.CheckString(1)
	if v, ok := a.state.Call.Options[name]; ok {
		L.Push(lua.LString(v))
		return 1
	}
	if L.GetTop() < 2 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(L.CheckAny(2))
	return 1
}

// give pushes text that was just made, within the memory budget.
func (a *api) give(L *lua.LState, text string) int {
	a.state.Charge(L, len(text))
	L.Push(lua.LString(text))
	return 1
}

// check raises err as a Failure; nil does nothing.
func (a *api) check(L *lua.LState, err error) {
	if err != nil {
		a.failures.raise(L, err)
	}
}

// understood raises err as what a server sent and nobody can read.
func (a *api) understood(L *lua.LState, err error) {
	if err != nil {
		a.failures.raise(L, failed(sdk.CodeProtocol, "%s", strings.TrimSpace(err.Error())))
	}
}
