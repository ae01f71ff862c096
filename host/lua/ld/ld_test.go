package ld

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// ran is what came of one script.
type ran struct {
	values  string // returned, as tostring has them, with blanks between
	verdict sdk.Verdict
	text    string // of any other error
	log     []string
}

// play runs a script in a fresh state that has nothing but gopher-lua's libraries and ld.
func play(t *testing.T, ctx context.Context, call Call, script string) ran {
	t.Helper()
	L := lua.NewState()
	defer L.Close()
	L.SetContext(ctx)
	var out ran
	call.Ctx = ctx
	call.Log = func(level, text string) { out.log = append(out.log, level+" "+text) }
	if call.Charge == nil {
		call.Charge = func(int) error { return nil }
	}
	s := &State{}
	L.SetGlobal("ld", Open(L, s))
	s.Call = &call
	fn, err := L.LoadString(script)
	if err != nil {
		t.Fatal(err)
	}
	L.Push(fn)
	err = L.PCall(0, lua.MultRet, nil)
	call.End()
	if err != nil {
		bad, _ := errors.AsType[*lua.ApiError](err)
		v, ok := VerdictOf(bad.Object)
		if out.verdict = v; !ok {
			out.text = bad.Object.String()
		}
		return out
	}
	out.verdict = sdk.Up()
	var words []string
	for i := 1; i <= L.GetTop(); i++ {
		words = append(words, L.ToStringMeta(L.Get(i)).String())
	}
	out.values = strings.Join(words, " ")
	return out
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Functions without a network.
func TestValues(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{`return ld.hex("\1\255"), ld.unhex("01ff") == "\1\255"`, "01ff true"},
		{`return ld.base64.encode("a\0b"), ld.base64.decode("YQBi") == "a\0b"`, "YQBi true"},
		{`return ld.hex(ld.md5("")), ld.hex(ld.sha1("abc"))`, "d41d8cd98f00b204e9800998ecf8427e a9993e364706816aba3e25717850c26c9cd0d89d"},
		{`return ld.hex(ld.sha256("abc"))`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{`return ld.hex(ld.hmac("sha256", "Jefe", "what do ya want for nothing?"))`, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{`return ld.match("role:master\r\n", "role:(\\w+)(x)?")`, "master false"},
		{`return ld.match("abc", "b."), ld.match("abc", "z")`, "bc nil"},
		{`return ld.json.encode(ld.json.decode('{"b":[1,2.5,"x\\u00e9",true,null,[]],"a":{}}'))`, `{"a":{},"b":[1,2.5,"xé",true,null,[]]}`},
		{`return ld.json.decode("null") == ld.json.null, ld.json.encode({1,2}), ld.json.encode({}), ld.json.encode(setmetatable({}, ld.json.array))`, "true [1,2] {} []"},
		{`return ld.json.encode(1e15), ld.json.encode("<\n")`, `1000000000000000 "<\n"`},
		{`return ld.unpack("<I2 >I3 b z s1 c2", "\1\2\1\2\3\255ab\0\2xyPQ!")`, "513 66051 -1 ab xy PQ 15"},
		{`return ld.hex(ld.pack(">I2 <i4 z s2 c4 xB", 258, -2, "a", "bc", "d", 7))`, "0102feffffff61000200626364000000" + "0007"},
		{`return ld.hex(ld.pack(">d f", 1.5, 1.5)), ld.unpack(">d", "\63\248\0\0\0\0\0\0")`, "3ff80000000000003fc00000 1.5 9"},
		{`return ld.unpack("<i8", "\254\255\255\255\255\255\255\255")`, "-2 9"},
		{`return ld.unpack("B", "abc", 3)`, "99 4"},
		{`return ld.option("role"), ld.option("none"), ld.option("none", "x"), ld.service, ld.host, ld.port, ld.args[3], #ld.args`, "master nil x external-lua 127.0.0.1 80 127.0.0.1 4"},
		{`local n = ld.now() return n > 1.7e9, n < 1e11, ld.random(1)`, "true true 1"},
		{`ld.sleep(0) ld.log("x") ld.log("warn", "y")`, ""},
		{`local ok, e = pcall(ld.json.decode, "{") return ok, e.code, e.status, e.text, e.nothing, tostring(e)`,
			"false l7-protocol down not valid JSON: it ends in the middle nil not valid JSON: it ends in the middle"},
		{`return getmetatable(ld.json.decode("[]")), getmetatable(ld)`, "array ld"},
	} {
		call := Call{Target: sdk.Target{Service: "external-lua", Addr: netip.MustParseAddrPort("127.0.0.1:80")},
			Options: map[string]string{"role": "master"}, Args: []string{"127.0.0.2", "80", "127.0.0.1", "80"}}
		got := play(t, within(t, 5*time.Second), call, c.script)
		if got.values != c.want || got.text != "" || got.verdict.Status != sdk.StatusUp {
			t.Errorf("%s:\n got %q %q %+v\nwant %q", c.script, got.values, got.text, got.verdict, c.want)
		}
	}
}

// Arguments that make no sense are errors of the script; what a server sent is a Failure.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{`ld.tcp("x")`, "bad argument #2"},
		{`ld.tcp("x", 0)`, "a port from 1 to 65535"},
		{`ld.tcp("x", 1, {tsl = true})`, "unknown option tsl; there are ca, min, sni, source, timeout, tls, verify"},
		{`ld.tcp("x", 1, {tls = 1})`, "tls: boolean expected, got number"},
		{`ld.tcp("x", 1, {timeout = 0})`, "timeout must be more than 0"},
		{`ld.tcp("x", 1, {ca = "y", verify = true})`, "ca: no certificate"},
		{`ld.tcp("x", 1, {min = "2"})`, `none of 1.0`},
		{`ld.http{}`, `http://, https:// or a path expected`},
		{`ld.http{url = "ftp://x/"}`, `http://, https:// or a path expected`},
		{`ld.http{url = "/", body = {}}`, `body: string expected, got table`},
		{`ld.http{url = "/", max = 1e9}`, `max must be a whole number from 1 to 8388608`},
		{`ld.dns("x", "NONE")`, "type of records"},
		{`ld.match("x", "(")`, "pattern"},
		{`ld.pack("I2", 65536)`, "value 1: 65536 does not fit into I2"},
		{`ld.pack("i1", 1.5)`, "value 1: 1.5 does not fit into i1"},
		{`ld.pack("z")`, "takes more than 0 values"},
		{`ld.pack("z", "a", 1)`, "2 values, but the format"},
		{`ld.pack("c", "a")`, "c needs a size"},
		{`ld.pack("I9", 1)`, "I9: the size must be 1 to 8"},
		{`ld.pack("s1", string.rep("x", 256))`, "does not fit into s1"},
		{`ld.pack("c99999999999", "a")`, "longer than 8388608 bytes"},
		{`ld.pack("?", 1)`, `unknown letter '?'`},
		{`ld.unpack("B", "a", 3)`, "outside of the data"},
		{`ld.unpack("I2", "a")`, "down l7-protocol data too short"},
		{`ld.unpack("s4", "\255\255\255\255a")`, "down l7-protocol data too short"},
		{`ld.unpack("z", "a")`, "down l7-protocol data too short"},
		{`ld.unhex("zz")`, "down l7-protocol"},
		{`ld.base64.decode("?")`, "down l7-protocol"},
		{`ld.json.decode("[1] 2")`, "down l7-protocol not valid JSON: something follows"},
		{`ld.json.decode("[1,]")`, "down l7-protocol not valid JSON: invalid character"},
		{`ld.json.decode(string.rep("[", 70))`, "nested more than 64 deep"},
		{`ld.json.decode("[" .. string.rep("1,", 100001) .. "1]")`, "more than 100000 values"},
		{`ld.json.decode(string.rep(" ", 2^20 + 1))`, "more than 1048576"},
		{`ld.json.encode(print)`, "a function has no JSON"},
		{`local t = {} t[1] = t ld.json.encode(t)`, "a table inside itself"},
		{`ld.json.encode({1, x = 1})`, "names and numbers"},
		{`ld.json.encode({[1] = 1, [3] = 1})`, "array with holes"},
		{`ld.json.encode(0/0)`, "JSON has no number"},
		{`ld.hmac("crc", "", "")`, "md5, sha1 or sha256"},
		{`ld.sleep(-1)`, "0 seconds to a day"},
		{`ld.random(0)`, "at least 1"},
		{`ld.log("loud", "x")`, "debug, info, warn or error"},
		{`ld.tcp("127.0.0.1", 1, {source = "x"})`, "unknown fault source"},
	} {
		got := play(t, within(t, 5*time.Second), Call{Target: sdk.Target{Addr: netip.MustParseAddrPort("127.0.0.1:80")}}, c.script)
		have := got.text
		if have == "" {
			have = fmt.Sprint(got.verdict.Status, " ", got.verdict.Code, " ", got.verdict.Reason)
		}
		if !strings.Contains(have, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.script, have, c.want)
		}
	}
}

// serve answers each connection in its own way.
func serve(t *testing.T, answer func(net.Conn)) sdk.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return sdk.Target{Network: "tcp", Service: "external-lua", Addr: netip.MustParseAddrPort(l.Addr().String())}
}

const connectHere = `local c = ld.tcp(ld.host, ld.port) `

func TestTCP(t *testing.T) {
	target := serve(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			line, err := in.ReadString('\n')
			switch {
			case err != nil:
				return
			case line == "lines\n":
				io.WriteString(c, "one\r\ntwo\nthree")
				return
			case line == "long\n":
				io.WriteString(c, strings.Repeat("x", 100_000)+"\n")
			case line == "mute\n":
				in.ReadByte()
				return
			case line == "all\n":
				in.ReadByte()
				io.WriteString(c, "half closed")
				return
			}
		}
	})
	for _, c := range []struct{ script, want string }{
		{`c:send("lines\n") return c:recv(), c:recv("*l"), c:recv(3)`, "one two thr"},
		{`c:send("lines\n") return c:recv("*a")`, "one\r\ntwo\nthree false"},
		{`c:send("lines\n") return c:recv("*a", 5)`, "one\r\n true"},
		{`c:send("lines\n") c:recv() c:recv() return c:recv()`, `down l7-closed closed by the server in the middle of a line, after "three"`},
		{`c:send("lines\n") return c:recv(99)`, `down l7-closed closed by the server in the middle of 99 bytes`},
		{`c:send("lines\n") c:recv("*a") return c:recv()`, `down l7-closed closed by the server instead of a line`},
		{`c:send("lines\n") return c:expect("o(n)(e)"), c:recv(), c:recv()`, "n  two"},
		{`c:send("lines\n") return c:expect("nothing")`, "down l7-match closed by the server without a match"},
		{`c:send("long\n") return c:recv()`, "down l7-protocol line begun with"},
		{`c:send("long\n") return #c:recv("*l", 200000)`, "100000"},
		{`c:send("long\n") return c:expect("y", 1000)`, "down l7-match no match in"},
		{`c:send("mute\n") return c:recv()`, "down l7-timeout not finished before the deadline"},
		{`c:send("all\n") c:shutdown("w") return c:recv("*a")`, "half closed false"},
		{`local a, p = c:peer() return a == ld.host, p == ld.port, c:peercert(), getmetatable(c)`, "true true nil connection"},
		{`c:close() c:close() c:send("x")`, "unknown fault the connection was closed by the script"},
		{`return c.nothing`, "nil"},
		{`local t = {} for i = 1, 40 do t[i] = ld.tcp(ld.host, ld.port) end`, "unknown fault more than 32 connections open at once"},
		{`for i = 1, 40 do ld.tcp(ld.host, ld.port):close() end return 1`, "1"},
		{`local d = ld.tcp(ld.host, ld.port, {timeout = 0.05}) d:send("mute\n") local ok, e = pcall(d.recv, d) return e.code`, "l7-timeout"},
	} {
		t.Run(c.script, func(t *testing.T) {
			limit := 5 * time.Second
			if strings.Contains(c.want, "deadline") {
				limit = 200 * time.Millisecond
			}
			begun := time.Now()
			got := play(t, within(t, limit), Call{Target: target}, connectHere+c.script)
			have := got.values + got.text
			if got.verdict.Status != sdk.StatusUp {
				have += fmt.Sprint(got.verdict.Status, " ", got.verdict.Code, " ", got.verdict.Reason)
			}
			if !strings.HasPrefix(have, c.want) || time.Since(begun) > 2*time.Second {
				t.Errorf("got %q after %v\nwant %q", have, time.Since(begun), c.want)
			}
		})
	}
}

// What does not come about has the code of its layer; what is missing on our side is Unknown.
func TestConnectFailures(t *testing.T) {
	nobody := serve(t, func(net.Conn) {})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := netip.MustParseAddrPort(free.Addr().String())
	free.Close()
	hang := func(ctx context.Context, network, address string) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	descriptors := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("socket: %w", syscall.EMFILE)}
	}
	for name, c := range map[string]struct {
		call   Call
		script string
		want   string
	}{
		"refused":     {Call{Target: sdk.Target{Addr: refused}}, connectHere, "down l4-refused"},
		"black hole":  {Call{Target: nobody, Dial: hang}, connectHere, "down l4-timeout"},
		"impatient":   {Call{Target: nobody, Dial: hang}, `ld.tcp(ld.host, ld.port, {timeout = 0.01})`, "down l4-timeout"},
		"descriptors": {Call{Target: nobody, Dial: descriptors}, connectHere, "unknown fault"},
		"no TLS":      {Call{Target: nobody}, `ld.tcp(ld.host, ld.port, {tls = true})`, "down l6-tls"},
		"http":        {Call{Target: sdk.Target{Addr: refused}}, `ld.http("/")`, "down l4-refused"},
		"sleep":       {Call{Target: nobody}, `ld.sleep(60)`, "down l7-timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			got := play(t, within(t, 100*time.Millisecond), c.call, c.script)
			if have := fmt.Sprint(got.verdict.Status, " ", got.verdict.Code); have != c.want {
				t.Errorf("%s, want %s: %+v %s", have, c.want, got.verdict, got.text)
			}
		})
	}
}

// Whatever a script does, its connections end with it.
func TestConnectionsEnd(t *testing.T) {
	over := make(chan error, 8)
	target := serve(t, func(c net.Conn) {
		c.SetDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Read(make([]byte, 1))
		over <- err
	})
	for _, script := range []string{`leak = c`, `error("x")`, `pcall(error) coroutine.wrap(function() ld.tcp(ld.host, ld.port):close() error("y") end)()`} {
		play(t, within(t, 5*time.Second), Call{Target: target}, connectHere+script)
		if err := <-over; !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", script, err)
		}
	}
}

// What is read is asked for before it is kept.
func TestBudget(t *testing.T) {
	target := serve(t, func(c net.Conn) {
		io.WriteString(c, strings.Repeat("x", 1<<20))
	})
	left := 1_000_000
	call := Call{Target: target, Charge: func(n int) error {
		if left -= n; left < 0 {
			return errors.New("memory")
		}
		return nil
	}}
	for _, script := range []string{connectHere + `return #c:recv("*a")`, `return #ld.http("/").body`} {
		left = 1_000_000
		got := play(t, within(t, 5*time.Second), call, script)
		if got.values != "" {
			t.Errorf("%s gave %s", script, got.values)
		}
	}
	if v := probe.Judge(limited("x")); v.Status != sdk.StatusUnknown {
		t.Errorf("a limit is %v", v)
	}
}
