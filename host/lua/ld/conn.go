package ld

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
)

// tcp is ld.tcp(host, port [, {tls, sni, verify, ca, min, source, timeout}]).
func (a *api) tcp(L *lua.LState) int {
	d := dialing{network: "tcp"}
	o := newSettings(L, 3)
	d.secure = o.flag("tls")
	o.secured(&d)
	return a.connected(L, o, d)
}

// udp is ld.udp(host, port [, {source, timeout}]).
func (a *api) udp(L *lua.LState) int {
	return a.connected(L, newSettings(L, 3), dialing{network: "udp"})
}

func (a *api) connected(L *lua.LState, o *settings, d dialing) int {
	d.host, d.port = strings.Trim(L.CheckString(1), "[]"), L.CheckInt(2)
	if d.port < 1 || d.port > 65535 {
		L.ArgError(2, "a port from 1 to 65535 expected")
	}
	d.source, d.timeout = o.text("source"), o.seconds("timeout")
	o.done()
	s, err := a.run().connect(d)
	a.check(L, err)
	data := L.NewUserData()
	data.Value, data.Metatable = s, a.conns
	L.Push(data)
	return 1
}

// connectionMethods is the metatable of connections.
func (a *api) connectionMethods(L *lua.LState) *lua.LTable {
	methods := set(L, L.NewTable(), map[string]lua.LGFunction{
		"send": a.send, "recv": a.recv, "expect": a.expect, "starttls": a.starttls, "peer": a.peer,
		"peercert": a.peercert, "shutdown": a.shutdown, "close": a.close,
	})
	meta := L.NewTable()
	// A function, not the table, which a script could reach through it.
	meta.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		L.Push(methods.RawGet(L.CheckAny(2)))
		return 1
	}))
	meta.RawSetString("__metatable", lua.LString("connection"))
	meta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		s := a.stream(L)
		L.Push(lua.LString(s.how.network + " " + s.addr.String()))
		return 1
	}))
	return meta
}

// stream is the connection that a method was called on. One of an earlier run is closed.
func (a *api) stream(L *lua.LState) *stream {
	s, ok := L.CheckUserData(1).Value.(*stream)
	if !ok {
		L.ArgError(1, "connection expected: methods are called with a colon")
	}
	return s
}

// send is c:send(text).
func (a *api) send(L *lua.LState) int {
	s, text := a.stream(L), L.CheckString(2)
	a.state.Charge(L, len(text))
	a.check(L, s.write(text))
	return 0
}

// recv is c:recv(["*l" | n | "*a"] [, max]); on a UDP connection it is one datagram.
func (a *api) recv(L *lua.LState) int {
	s := a.stream(L)
	if s.how.network == "udp" {
		text, err := s.datagram()
		a.check(L, err)
		return a.give(L, text)
	}
	what := L.Get(2)
	if n, ok := what.(lua.LNumber); ok {
		if n < 0 || n > maxAnswer || n != lua.LNumber(int(n)) {
			L.ArgError(2, fmt.Sprintf("0 to %d bytes expected", maxAnswer))
		}
		text, err := s.exactly(int(n))
		a.check(L, err)
		return a.give(L, text)
	}
	switch L.OptString(2, "*l") {
	case "*l", "l":
		text, err := s.line(a.limit(L, 3, maxLine))
		a.check(L, err)
		return a.give(L, text)
	case "*a", "a":
		text, cut, err := s.all(a.limit(L, 3, usualMax))
		a.check(L, err)
		a.give(L, text)
		L.Push(lua.LBool(cut))
		return 2
	}
	L.ArgError(2, `"*l", "*a" or a number expected`)
	return 0
}

// limit is argument n, a bound in bytes.
func (a *api) limit(L *lua.LState, n, fallback int) int {
	limit := L.OptInt(n, fallback)
	if limit < 1 || limit > maxAnswer {
		L.ArgError(n, fmt.Sprintf("1 to %d bytes expected", maxAnswer))
	}
	return limit
}

// datagram is the next one.
func (s *stream) datagram() (string, error) {
	if s.closed {
		return "", errClosed
	}
	results, err := s.run.tape.do(answerVerb, []string{s.id}, func() ([]string, error) {
		s.hurry()
		buf := make([]byte, maxLine)
		n, err := s.conn.Read(buf)
		if err != nil {
			return nil, err
		}
		s.run.call.Trace.Received(buf[:n])
		return []string{string(buf[:n])}, nil
	})
	return first(results), err
}

// expect is c:expect(pattern [, max]): it reads until the pattern matches, and gives back what
// ld.match would. What follows the match stays to be read.
func (a *api) expect(L *lua.LState) int {
	s, p, limit := a.stream(L), a.pattern(L, 2), a.limit(L, 3, maxLine)
	for {
		a.state.Charge(L, 5*len(s.in))
		spans, err := p.Find(a.state.Call.Ctx, s.in)
		a.check(L, matched(err))
		if spans != nil {
			text := string(s.in) // a group in a lookahead ends behind the match
			s.take(spans[0].End)
			return pushSpans(L, text, spans)
		}
		if s.ended || len(s.in) > limit {
			a.check(L, s.unexpected(limit))
		}
		a.check(L, s.fill())
	}
}

// unexpected is that what came does not match.
func (s *stream) unexpected(limit int) error {
	switch {
	case len(s.in) > limit:
		return failed(sdk.CodeMatch, "no match in %d bytes", len(s.in))
	case len(s.in) == 0:
		return failed(sdk.CodeClosed, "closed by the server without an answer")
	}
	return failed(sdk.CodeMatch, "closed by the server without a match")
}

// starttls is c:starttls([{sni, verify, ca, min}]).
func (a *api) starttls(L *lua.LState) int {
	s, o := a.stream(L), newSettings(L, 2)
	d := dialing{host: s.how.host}
	o.secured(&d)
	o.done()
	if s.closed {
		a.check(L, errClosed)
	}
	a.check(L, s.secure(d.tls, d.name()))
	return 0
}

// peer is c:peer(): address and port of the other end.
func (a *api) peer(L *lua.LState) int {
	s := a.stream(L)
	L.Push(lua.LString(s.addr.Addr().String()))
	L.Push(lua.LNumber(s.addr.Port()))
	return 2
}

// peercert is c:peercert(): the peer's certificate, nil without TLS.
func (a *api) peercert(L *lua.LState) int {
	s := a.stream(L)
	if s.cert == nil {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(s.cert.table(L))
	return 1
}

// shutdown is c:shutdown("w").
func (a *api) shutdown(L *lua.LState) int {
	s := a.stream(L)
	if L.OptString(2, "w") != "w" {
		L.ArgError(2, `"w" expected`)
	}
	a.check(L, s.shutdown())
	return 0
}

func (a *api) close(L *lua.LState) int {
	a.stream(L).close()
	return 0
}
