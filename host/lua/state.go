package lua

import (
	"maps"
	"slices"
	"sync"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/host/lua/ld"
)

// settings sets two variables of gopher-lua, which are of the whole process.
//
// Arrays end early: one assignment far beyond the end fills all that is between, in one
// instruction. What is beyond maxArray is kept like other keys are.
//
// Functions that take "..." have no local arg, which Lua 5.1 calls deprecated and 5.2 removed: it
// would hide the script's arguments.
var settings = sync.OnceFunc(func() { lua.MaxArrayIndex, lua.CompatVarArg = maxArray, false })

// state is a Lua state with the libraries open. It outlives a run when that left it as it was:
// the globals of a run are gone with its environment, and the libraries are compared.
type state struct {
	L       *lua.LState
	api     *ld.State
	concat  *lua.LFunction // the replacements of operators; see rewrite
	index   *lua.LFunction
	tail    *lua.LFunction
	globals []entry   // of a new environment, _G apart
	shared  []content // the tables that all runs see
	env     content   // environment that no run has changed; none: nil table
}

// entry is one field of a table.
type entry struct {
	key   string
	value lua.LValue
}

// content is what a table held when it was made, in that order.
type content struct {
	table     *lua.LTable
	entries   []entry
	metatable lua.LValue
}

func newState() *state {
	settings()
	L := lua.NewState(lua.Options{
		CallStackSize: maxDepth, RegistrySize: 1024, RegistryGrowStep: 1024, RegistryMaxSize: maxValues, SkipOpenLibs: true,
	})
	s := &state{L: L, api: &ld.State{}, concat: L.NewFunction(concat), index: L.NewFunction(index), tail: L.NewFunction(tail)}
	s.libraries()
	api := ld.Open(L, s.api)
	verdictFunctions(L, api)
	s.globals = append(s.globals, entry{"ld", api})
	s.see(api)
	return s
}

// libraries opens those of gopher-lua, and takes from them what scripts get.
func (s *state) libraries() {
	for _, open := range []lua.LGFunction{
		lua.OpenBase, lua.OpenString, lua.OpenTable, lua.OpenMath, lua.OpenCoroutine, lua.OpenOs,
	} {
		s.L.Push(s.L.NewFunction(open))
		s.L.Call(0, 0)
	}
	all := s.L.G.Global
	base := s.library(all, plainBase, baseFunctions)
	base.ForEach(func(k, v lua.LValue) { s.globals = append(s.globals, entry{k.String(), v}) })
	slices.SortFunc(s.globals, func(a, b entry) int { return len(a.key) - len(b.key) })
	s.globals = append(s.globals, entry{"_VERSION", lua.LString(lua.LuaVersion)})

	original := func(name string) *lua.LTable { return all.RawGetString(name).(*lua.LTable) }
	co := newCoroutines(original("coroutine"))
	date := original("os").RawGetString("date").(*lua.LFunction).GFunction
	s.global("string", s.library(original("string"), plainString, stringFunctions))
	s.global("table", s.library(original("table"), plainTable, tableFunctions))
	s.global("math", s.library(original("math"), plainMath, map[string]lua.LGFunction{
		"randomseed": func(*lua.LState) int { return 0 }, // always seeded, and for the whole process
	}))
	s.global("coroutine", s.library(original("coroutine"), plainCoroutine, map[string]lua.LGFunction{
		"create": co.doCreate, "wrap": co.doWrap, "resume": co.doResume,
	}))
	s.global("os", s.library(original("os"), plainOS, map[string]lua.LGFunction{"date": osDate(date)}))
	s.methods()
}

// global gives scripts a library.
func (s *state) global(name string, library *lua.LTable) {
	s.globals = append(s.globals, entry{name, library})
	s.see(library)
}

// methods makes ("x"):rep(3) find the functions that string.rep finds.
func (s *state) methods() {
	meta := s.L.NewTable()
	meta.RawSetString("__index", s.globals[slices.IndexFunc(s.globals, func(e entry) bool { return e.key == "string" })].value)
	s.L.SetMetatable(lua.LString(""), meta)
}

// library makes a table of some functions of another, and of replacements.
func (s *state) library(from *lua.LTable, names []string, ours map[string]lua.LGFunction) *lua.LTable {
	t := s.L.NewTable()
	for _, name := range names {
		t.RawSetString(name, from.RawGetString(name))
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		t.RawSetString(name, s.L.NewFunction(ours[name]))
	}
	return t
}

// see remembers what a table holds, and the tables in it.
func (s *state) see(t *lua.LTable) {
	c := contentOf(t)
	s.shared = append(s.shared, c)
	for _, e := range c.entries {
		if inner, ok := e.value.(*lua.LTable); ok {
			s.see(inner)
		}
	}
	if meta, ok := t.Metatable.(*lua.LTable); ok {
		s.see(meta)
	}
}

func contentOf(t *lua.LTable) content {
	c := content{table: t, metatable: t.Metatable}
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		c.entries = append(c.entries, entry{k.String(), v})
	}
	return c
}

// same says whether the table still holds that, and nothing else. Keys are kept in the
// order in which they came: what was added comes after the last.
func (c content) same() bool {
	if c.table.Metatable != c.metatable || c.table.MaxN() != 0 {
		return false
	}
	var last lua.LValue = lua.LNil
	for _, e := range c.entries {
		if c.table.RawGetString(e.key) != e.value {
			return false
		}
		last = lua.LString(e.key)
	}
	added, _ := c.table.Next(last)
	return added == lua.LNil
}

// begin gives the state to a run, whose globals it makes.
func (s *state) begin(r *run) {
	if s.env.table == nil {
		t := s.L.CreateTable(0, len(s.globals)+8)
		t.RawSetString("_G", t)
		for _, e := range s.globals {
			t.RawSetString(e.key, e.value)
		}
		t.RawSetString("arg", lua.LFalse) // the last entry
		s.env = contentOf(t)
	}
	args := s.L.CreateTable(len(r.call.Args), 0)
	for _, a := range r.call.Args {
		args.Append(lua.LString(a))
	}
	s.env.entries[len(s.env.entries)-1].value = args
	s.env.table.RawSetString("arg", args)
	s.L.Env = s.env.table
	s.L.SetContext(r)
	s.api.Call = &r.call
}

// end takes the state back. False: the run left traces, and it cannot be used again.
func (s *state) end() bool {
	s.api.Call = nil
	s.L.RemoveContext()
	s.L.SetTop(0)
	for _, c := range s.shared {
		if !c.same() {
			return false
		}
	}
	if !s.env.same() {
		s.env = content{}
	}
	s.L.Env = s.L.G.Global
	return true
}
