package ld

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk/probe"
)

// settings reads the table of options of a call, argument n; a misspelt name is an error.
type settings struct {
	state *lua.LState
	n     int
	table *lua.LTable
	known map[string]bool
}

func newSettings(L *lua.LState, n int) *settings {
	return &settings{state: L, n: n, table: L.OptTable(n, nil), known: map[string]bool{}}
}

// get is the value of a name, nil when there is none.
func (s *settings) get(name string) lua.LValue {
	s.known[name] = true
	if s.table == nil {
		return lua.LNil
	}
	return s.table.RawGetString(name)
}

func (s *settings) wrong(name, want string, v lua.LValue) {
	s.state.ArgError(s.n, fmt.Sprintf("%s: %s expected, got %s", name, want, v.Type()))
}

func (s *settings) text(name string) string {
	switch v := s.get(name).(type) {
	case *lua.LNilType:
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return v.String()
	default:
		s.wrong(name, "string", v)
	}
	return ""
}

func (s *settings) flag(name string) bool {
	v := s.get(name)
	if _, ok := v.(lua.LBool); !ok && v != lua.LNil {
		s.wrong(name, "boolean", v)
	}
	return lua.LVAsBool(v)
}

// whole is a number from low to high.
func (s *settings) whole(name string, fallback, low, high int) int {
	v := s.get(name)
	n, ok := v.(lua.LNumber)
	switch {
	case v == lua.LNil:
		return fallback
	case !ok:
		s.wrong(name, "number", v)
	case float64(n) < float64(low) || float64(n) > float64(high) || n != lua.LNumber(int(n)):
		s.state.ArgError(s.n, fmt.Sprintf("%s must be a whole number from %d to %d", name, low, high))
	}
	return int(n)
}

// seconds is a duration; 0 when there is none.
func (s *settings) seconds(name string) time.Duration {
	v := s.get(name)
	n, ok := v.(lua.LNumber)
	switch {
	case v == lua.LNil:
		return 0
	case !ok:
		s.wrong(name, "number", v)
	case !(n > 0) || n > maxSeconds:
		s.state.ArgError(s.n, name+" must be more than 0 seconds, and at most a day")
	}
	return time.Duration(float64(n) * float64(time.Second))
}

// maxSeconds bounds what a script may wait for.
const maxSeconds = 86400

// secured are the settings of a handshake.
func (s *settings) secured(d *dialing) {
	d.sni = s.text("sni")
	d.tls.Verify = s.flag("verify")
	if oldest := s.text("min"); oldest != "" {
		if err := d.tls.Min.UnmarshalText([]byte(oldest)); err != nil {
			s.state.ArgError(s.n, "min: "+err.Error())
		}
	}
	if pem := s.text("ca"); pem != "" {
		authorities, err := probe.CAFromPEM([]byte(pem))
		if err != nil {
			s.state.ArgError(s.n, "ca: "+err.Error())
		}
		d.tls.CA = authorities
		if !d.tls.Verify {
			s.state.ArgError(s.n, "ca verifies nothing without verify = true")
		}
	}
}

// done says when the table has a name that nobody asked for.
func (s *settings) done() {
	if s.table == nil {
		return
	}
	s.table.ForEach(func(k, _ lua.LValue) {
		if name, ok := k.(lua.LString); !ok || !s.known[string(name)] {
			names := slices.Sorted(maps.Keys(s.known))
			s.state.ArgError(s.n, fmt.Sprintf("unknown option %s; there are %s", probe.Brief(k.String()), strings.Join(names, ", ")))
		}
	})
}
