// Package ld is the table `ld` that scripts of checktype external-lua see: connections, http,
// dns, json, hashes, packing and the like. What runs scripts, and their limits, is package lua
// above it.
package ld

import (
	"context"
	"net"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Call is one run of a script, as the API sees it. It is used by the goroutine that runs the
// script alone.
type Call struct {
	// Ctx ends at the check's deadline, and is cancelled with a cause when a limit is reached.
	// Whatever waits has to wait for it too.
	Ctx context.Context
	// Target is the real server to look at.
	Target sdk.Target
	// Options are option.NAME as NAME, and the manual's directives that reach the check.
	Options map[string]string
	// Args are the four arguments of ldirectord(8), "external", then those that follow the
	// path in checkcommand.
	Args []string
	// Dial makes connections; nil: net.Dialer. It is replaced to record and to replay.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log writes a line; level is "debug", "info", "warn" or "error". The last line is the
	// reason of a verdict that has no other. Never nil.
	Log func(level, text string)
	// Charge asks the memory budget before something of that many bytes is made. Its error
	// has to be raised at once (L.RaiseError): the limit it speaks of has ended Ctx already, so
	// that nothing of the script runs on, whatever its pcall catches. Never nil.
	Charge func(bytes int) error
	// Trace takes phases and transcript; may be nil.
	Trace *probe.Trace

	ends []func()
}

// OnEnd has f called when the run is over, however it ends: connections are closed there.
func (c *Call) OnEnd(f func()) { c.ends = append(c.ends, f) }

// End calls what OnEnd was given, the last first. Whoever runs the script calls it once.
func (c *Call) End() {
	for len(c.ends) > 0 {
		last := len(c.ends) - 1
		f := c.ends[last]
		c.ends = c.ends[:last]
		f()
	}
}

// State binds the functions that Open registers to the run that is under way. A Lua state
// outlives many runs: functions are registered once and look at Call when they are called.
//
// So Open(L *lua.LState, s *State) *lua.LTable builds the table once per state. Nothing of a run may
// stay behind in it: what depends on the run (ld.args, ld.service, ...) comes from an __index
// function of the table's metatable. All tables that it makes must be reachable from the one it
// returns, since a state is thrown away when a script has changed one of them. Metatables of user
// data need no protection: scripts cannot reach them. The verdicts (ld.up, ld.down, ld.unknown)
// are added to the table by package lua.
type State struct {
	// Call is the run under way; nil between runs.
	Call *Call
}

// Charge asks the memory budget for bytes that are about to be made, and raises its error.
func (s *State) Charge(L *lua.LState, bytes int) {
	if err := s.Call.Charge(bytes); err != nil {
		L.RaiseError("%s", err.Error())
	}
}
