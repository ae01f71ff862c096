package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// message is one of the protocol.
func message(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body)))) + body
}

// long is the beginning of a message of so many bytes.
func long(kind byte, size uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, 4+size))
}

const (
	accepted = "R\x00\x00\x00\x08\x00\x00\x00\x00"
	ready    = "Z\x00\x00\x00\x05I"
	in       = accepted + ready // the login is done

	columns = "T\x00\x00\x00\x1a\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00"
	row     = "D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x011"
)

func failure(severity, state, text string) string {
	return message('E', "S"+severity+"\x00C"+state+"\x00M"+text+"\x00\x00")
}

var result = columns + row + message('C', "SELECT 1\x00") + ready

// client reads what clients say first and then.
type client struct{ net.Conn }

// startup reads a message without a type, saying whether it was one.
func (c client) startup() (code uint32, ok bool) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, false
	}
	rest := int64(binary.BigEndian.Uint32(head[:])) - 8
	_, err := io.CopyN(io.Discard, c, rest)
	return binary.BigEndian.Uint32(head[4:]), err == nil
}

func (c client) message() bool {
	var head [5]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return false
	}
	_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[1:]))-4)
	return err == nil
}

// server says N to TLS, then the first text to the client's startup, and one more after each message.
func server(end func(net.Conn), texts ...string) sdktest.Server {
	return sdktest.TCP(func(conn net.Conn) {
		c := client{conn}
		code, ok := c.startup()
		if ok && code == 80877103 {
			_, _ = io.WriteString(c, "N")
			_, ok = c.startup()
		}
		for i, text := range texts {
			if i > 0 {
				ok = c.message()
			}
			if !ok {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
		end(conn)
	})
}

func speaks(texts ...string) sdktest.Server {
	return server(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, texts...)
}

func ends(texts ...string) sdktest.Server { return server(func(net.Conn) {}, texts...) }

func resets(texts ...string) sdktest.Server {
	return server(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, texts...)
}

func endless(over string, texts ...string) sdktest.Server {
	return server(func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, over); err != nil {
				return
			}
		}
	}, texts...)
}

// offers answers SSLRequest with text, and plays at a client that does without.
func offers(text string, plain string) sdktest.Server {
	return sdktest.TCP(func(conn net.Conn) {
		c := client{conn}
		code, ok := c.startup()
		if ok && code == 80877103 {
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c)
			return
		}
		if ok {
			_, _ = io.WriteString(c, plain)
			_, _ = io.Copy(io.Discard, c)
		}
	})
}

// injects goes on in plain text after it has agreed to TLS.
func injects() sdktest.Server {
	return sdktest.TCP(func(conn net.Conn) {
		c := client{conn}
		if _, ok := c.startup(); !ok {
			return
		}
		_, _ = io.WriteString(c, "S"+in+result)
		cert, err := sdktest.Certificate(time.Hour)
		if err != nil {
			panic(err)
		}
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
	})
}

// fake is a server made up, and the verdict that it deserves.
type fake struct {
	server sdktest.Server
	o      sdk.Options
	want   string // status, code, and text that the reason begins with
}

// fakes are servers as no real one can be had, or made to be.
func fakes() map[string]fake {
	yes := sdk.Options{"starttls": "yes"}
	scram := message('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00")
	return map[string]fake{
		"healthy":          {speaks(in, result), nil, "up  "},
		"healthy, no TLS":  {speaks(in, result), sdk.Options{"starttls": "no"}, "up  "},
		"TLS not offered":  {speaks(in, result), yes, "down l7-status the server does not offer TLS"},
		"TLS not known":    {offers("E", in+result), nil, "up  "},
		"TLS not known, 2": {offers("E", in+result), yes, "down l7-status the server does not offer TLS"},
		"TLS is broken":    {offers("S\x15\x03\x03\x00\x02\x02\x50", in+result), nil, "up  "},
		"TLS is broken, 2": {offers("S\x15\x03\x03\x00\x02\x02\x50", in+result), yes, "down l6-tls "},
		"TLS is mute":      {offers("S", in+result), nil, "down l7-timeout TLS handshake not finished before the deadline"},
		"TLS is injected":  {injects(), yes, "down l6-tls "},
		"a web server":     {offers("HTTP/1.1 400 Bad Request\r\n", in+result), nil, `down l7-protocol no answer in the PostgreSQL protocol: "H" in answer to SSLRequest`},
		"an SSH server":    {ends("SSH-2.0-OpenSSH_9.2\r\n"), nil, `down l7-protocol no answer in the PostgreSQL protocol: a message of 1397239086 bytes`},

		"denied":          {speaks(failure("FATAL", "28P01", "sesame \x1b[1m is wrong")), nil, `down l7-auth error 28P01: "*** \x1b[1m is wrong"`},
		"long error":      {speaks(failure("FATAL", "53300", strings.Repeat("x", 500))), nil, `down l7-status error 53300: "` + strings.Repeat("x", 120) + `..."`},
		"long state":      {speaks(failure("FATAL", strings.Repeat("y", 500), "no")), nil, `down l7-status error ` + strings.Repeat("y", 120) + `...: "no"`},
		"error in a row":  {speaks(in, columns+failure("ERROR", "57014", "canceled")+ready), nil, `down l7-status error 57014: "canceled"`},
		"shut down":       {ends(in, columns+failure("FATAL", "57P01", "terminating")), nil, `down l7-status error 57P01: "terminating"`},
		"GSSAPI":          {speaks(message('R', "\x00\x00\x00\x07")), nil, "down l7-auth the server wants a login by GSSAPI, which this check cannot do"},
		"unknown login":   {speaks(message('R', "\x00\x00\x00\x63")), nil, "down l7-auth the server wants a login by type 99, which this check cannot do"},
		"unknown SASL":    {speaks(message('R', "\x00\x00\x00\x0aNEW\x00\x00")), nil, "down l7-protocol no answer in the PostgreSQL protocol: server does not support SCRAM-SHA-256"},
		"many rounds":     {speaks(scram, message('R', "\x00\x00\x00\x0br=x,s=eHg=,i=9999999")), nil, "down l7-protocol no answer in the PostgreSQL protocol: the server wants 9999999 rounds of SCRAM"},
		"another's nonce": {speaks(scram, message('R', "\x00\x00\x00\x0br=x,s=eHg=,i=4096")), nil, "down l7-protocol no answer in the PostgreSQL protocol: invalid SCRAM nonce"},
		"early ready":     {speaks(ready), nil, "down l7-protocol "},
		"row at once":     {speaks(in, row+ready), nil, "down l7-protocol "},
		"wants data":      {speaks(in, message('G', "\x00\x00\x01\x00\x00")), nil, "down l7-timeout "},

		"closed in the login":   {ends(""), nil, "down l7-closed "},
		"closed in a message":   {ends(accepted[:6]), nil, "down l7-closed "},
		"closed in the query":   {ends(in, ""), nil, "down l7-closed "},
		"closed before the row": {ends(in, columns), nil, "down l7-closed "},
		"closed in the row":     {ends(in, columns+row[:9]), nil, "down l7-closed "},
		"closed after the row":  {ends(in, columns+row), nil, "up  "},
		"mute after the row":    {speaks(in, columns+row), nil, "up  "},
		"reset":                 {resets(in, columns), nil, "down l7-closed "},
		"mute in the login":     {speaks(""), nil, "down l7-timeout "},
		"mute in the query":     {speaks(in, ""), nil, "down l7-timeout "},
		"mute in a message":     {speaks(accepted[:6]), nil, "down l7-timeout "},

		"huge login":         {speaks(long('R', 1<<30)), nil, "down l7-protocol no answer in the PostgreSQL protocol: a message of 1073741824 bytes"},
		"huge row":           {endless(strings.Repeat("x", 1<<16), in, columns+long('D', 1<<30)), nil, "up  "},
		"huge error":         {endless(strings.Repeat("x", 1<<16), in, columns+long('E', 1<<30)), nil, "down l7-protocol "},
		"huge columns":       {endless(strings.Repeat("x", 1<<16), in, long('T', 1<<30)), nil, "down l7-protocol "},
		"huge row at once":   {endless(strings.Repeat("x", 1<<16), in, long('D', 1<<30)), nil, "down l7-protocol "},
		"endless rows":       {endless(row, in, columns), nil, "up  "},
		"endless parameters": {endless(message('S', "a\x00"+strings.Repeat("x", 60000)+"\x00"), accepted), nil, "down l7-protocol more than 4194304 bytes"},
		"negative size":      {speaks("R\x00\x00\x00\x00"), nil, "down l7-protocol "},
	}
}

// tryFake gives back the verdict over host, and how long it took.
func tryFake(t *testing.T, f fake, host netip.Addr, limit time.Duration) (sdk.Verdict, time.Duration) {
	t.Helper()
	o := sdk.Options{"login": "alice", "passwd": "sesame", "request": "SELECT 1"}
	for name, value := range f.o {
		o[name] = value
	}
	addr, stop, err := f.server(host)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	v := newCheck().Checker().Probe(ctx, sdk.Target{Addr: addr, Network: "tcp"}, o)
	return v, time.Since(begun)
}

func TestFakes(t *testing.T) {
	for name, f := range fakes() {
		for _, host := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
			t.Run(name+"/"+host.String(), func(t *testing.T) {
				t.Parallel()
				limit := 5 * time.Second
				late := strings.Contains(f.want, string(sdk.CodeTimeout))
				if late {
					limit = 500 * time.Millisecond
				}
				v, took := tryFake(t, f, host, limit)
				if got := v.Status.String() + " " + string(v.Code) + " " + v.Reason; !strings.HasPrefix(got, f.want) {
					t.Errorf("got %s, want %s\n%s", got, f.want, v.Transcript)
				}
				if late && (took < limit/2 || took > limit+2*time.Second) || !late && took > limit/2 {
					t.Errorf("%s after %v", v.Code, took)
				}
			})
		}
	}
}

// What a server announces is not allocated, and what it sends without end is not kept.
func TestMemory(t *testing.T) {
	for _, name := range []string{"huge login", "huge row", "huge columns", "endless rows"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tryFake(t, fakes()[name], netip.MustParseAddr("127.0.0.1"), time.Second)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%s: %d bytes", name, took)
		}
	}
}

// FuzzServer has a server say anything in place of its part: a probe neither panics nor hangs.
func FuzzServer(f *testing.F) {
	f.Add([]byte(in + result))
	f.Add([]byte(failure("FATAL", "28P01", "no")))
	f.Add([]byte(message('R', "\x00\x00\x00\x05salt") + in + result))
	f.Add([]byte(message('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00") + message('R', "\x00\x00\x00\x0br=x,s=eHg=,i=1")))
	f.Add([]byte(in + message('T', "\xff\xff")))
	f.Add([]byte(in + columns + message('D', "\xff\xff")))
	f.Fuzz(func(t *testing.T, said []byte) {
		here, there := net.Pipe()
		defer here.Close()
		go func() { // ends when the pipe does
			defer there.Close()
			_, _ = there.Write(said)
		}()
		go io.Copy(io.Discard, there) //nolint:errcheck // likewise
		s := session{
			ctx: t.Context(), target: sdk.Target{Addr: netip.MustParseAddrPort("192.0.2.1:5432")},
			o: options{Login: "alice", Passwd: "sesame", Request: "SELECT 1"},
		}
		_ = s.ask(newStream(here)) // whatever it is
	})
}
