package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
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

// packet is one of the protocol, with its header.
func packet(seq byte, body string) string {
	n := len(body)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}) + body
}

const challenge = "abcdefghijklmnopqrst"

// hello is the greeting of a server that wants this way to log in.
func hello(plugin string) string { return greet(plugin, driverFlags) }

// helloTLS is that of one that offers TLS.
func helloTLS(plugin string) string { return greet(plugin, driverFlags|canTLS) }

func greet(plugin string, flags uint32) string {
	b := "\x0a8.4.0\x00" + "\x01\x00\x00\x00" + challenge[:8] + "\x00"
	b += string([]byte{byte(flags), byte(flags >> 8)}) + "\x2d\x02\x00" + string([]byte{byte(flags >> 16), byte(flags >> 24)})
	return packet(0, b+"\x15"+strings.Repeat("\x00", 10)+challenge[8:]+"\x00"+plugin+"\x00")
}

func ok(seq byte) string { return packet(seq, "\x00\x00\x00\x02\x00\x00\x00") }

func failure(seq byte, number uint16, state, text string) string {
	if state != "" {
		state = "#" + state
	}
	return packet(seq, "\xff"+string(binary.LittleEndian.AppendUint16(nil, number))+state+text)
}

// column describes one of text, as the server does ahead of the rows.
func column(seq byte) string {
	return packet(seq, "\x03def\x00\x00\x00\x01a\x00\x0c\x2d\x00\x0a\x00\x00\x00\xfd\x00\x00\x00\x00\x00")
}

// result has one column of text and one row, whose text is up to 250 bytes.
func result(row string) string {
	return packet(1, "\x01") + column(2) + packet(3, string([]byte{byte(len(row))})+row) + packet(4, "\xfe\x00\x00\x02\x00\x00\x00")
}

const native = "mysql_native_password"

// speaks is a server that says the first text, and one more after each packet of the client's.
func speaks(texts ...string) sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		for i, text := range texts {
			if i > 0 {
				if _, err := readPacket(c); err != nil {
					return
				}
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	})
}

// ends says texts as speaks does, and closes.
func ends(texts ...string) sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		for i, text := range texts {
			if i > 0 {
				_, _ = readPacket(c)
			}
			_, _ = io.WriteString(c, text)
		}
	})
}

// endless says texts, and then one over and over.
func endless(over string, texts ...string) sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		for i, text := range texts {
			if i > 0 {
				_, _ = readPacket(c)
			}
			_, _ = io.WriteString(c, text)
		}
		for {
			if _, err := io.WriteString(c, over); err != nil {
				return
			}
		}
	})
}

// resets ends the login with a reset.
func resets() sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		_, _ = io.WriteString(c, hello(native))
		_, _ = readPacket(c)
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
}

// asksUnderTLS is a server that asks for a password in clear text under TLS, in the words of question, and lets
// in whoever has the right one.
func asksUnderTLS(t *testing.T, plugin, question string) sdktest.Server {
	t.Helper()
	cert, err := sdktest.Certificate(1000 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return sdktest.TCP(func(c net.Conn) {
		_, _ = io.WriteString(c, helloTLS(plugin))
		if p, err := readPacket(c); err != nil || p[3] != 1 || len(p) != 4+requestSize {
			return
		}
		conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		if p, err := readPacket(conn); err != nil || p[3] != 2 {
			return
		}
		_, _ = io.WriteString(conn, packet(3, question))
		p, err := readPacket(conn)
		if err != nil {
			return
		}
		if string(p) != packet(4, "sesame\x00") {
			_, _ = io.WriteString(conn, failure(5, 1045, "28000", "wrong"))
			return
		}
		_, _ = io.WriteString(conn, ok(5))
		_, _ = readPacket(conn)
		_, _ = io.WriteString(conn, result("1"))
		_, _ = io.Copy(io.Discard, conn)
	})
}

func publicKey(key any) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// fake is a server made up, and the verdict that it deserves.
type fake struct {
	server sdktest.Server
	o      sdk.Options
	want   string // status, code, and text that the reason begins with
}

// fakes are servers as no real one can be had, or made to be.
func fakes(t *testing.T) map[string]fake {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := func(seq byte, key any) string { return packet(seq, "\x01"+publicKey(key)) }
	const sha2 = "caching_sha2_password"
	change := func(plugin string) string { return packet(2, "\xfe"+plugin+"\x00"+challenge+"\x00") }
	tlsOn := sdk.Options{"starttls": "yes"}
	clear := sdk.Options{"cleartext": "yes"}
	return map[string]fake{
		"native":             {speaks(hello(native), ok(2), result("1")), nil, "up  "},
		"caching_sha2":       {speaks(hello(sha2), packet(2, "\x01\x03")+ok(3), result("1")), nil, "up  "},
		"caching_sha2 whole": {speaks(hello(sha2), packet(2, "\x01\x04"), key(4, &rsaKey.PublicKey), ok(6), result("1")), nil, "up  "},
		"another key":        {speaks(hello(sha2), packet(2, "\x01\x04"), key(4, &ecKey.PublicKey)), nil, "down l7-protocol no answer in the MySQL protocol: a public key that is not RSA"},
		"change":             {speaks(hello(sha2), change(native), ok(4), result("1")), nil, "up  "},
		"old by option":      {speaks(hello(native), packet(2, "\xfe"), ok(4), result("1")), clear, "up  "},
		"old":                {speaks(hello(native), packet(2, "\xfe")), nil, "down l7-auth the server wants mysql_old_password, which needs starttls or cleartext"},
		"clear by option":    {speaks(hello(native), change("mysql_clear_password"), ok(4), result("1")), clear, "up  "},
		"clear":              {speaks(hello(native), change("mysql_clear_password")), nil, "down l7-auth the server wants mysql_clear_password, which needs starttls or cleartext"},
		"parsec":             {speaks(hello(native), change("parsec\x1b")), nil, `down l7-auth the server wants parsec\x1b, which this check cannot do`},

		"caching_sha2 TLS": {asksUnderTLS(t, sha2, "\x01\x04"), tlsOn, "up  "},
		"clear TLS":        {asksUnderTLS(t, native, "\xfemysql_clear_password\x00"), tlsOn, "up  "},
		"sha256 TLS":       {asksUnderTLS(t, native, "\xfesha256_password\x00"+challenge), tlsOn, "down l7-auth the account has sha256_password"},

		"denied":               {speaks(hello(native), failure(2, 1045, "28000", "sesame \x1b[1m is wrong")), nil, `down l7-auth error 1045: "*** \x1b[1m is wrong"`},
		"long error":           {speaks(hello(native), failure(2, 1105, "HY000", strings.Repeat("x", 500))), nil, `down l7-status error 1105: "` + strings.Repeat("x", 120) + `..."`},
		"too many connections": {speaks(failure(0, 1040, "", "Too many connections")), nil, `down l7-status error 1040: "Too many connections"`},
		"host is blocked":      {speaks(failure(0, 1129, "", "Host is blocked")), sdk.Options{"starttls": "yes"}, `down l7-status error 1129: "Host is blocked"`},
		"error among rows":     {speaks(hello(native), ok(2), packet(1, "\x01")+column(2)+failure(3, 1317, "70100", "interrupted")), nil, `down l7-status error 1317: "interrupted"`},
		"no TLS":               {speaks(hello(native)), sdk.Options{"starttls": "yes"}, "down l7-status the server does not offer TLS"},

		"closed in the greeting": {ends(hello(native)[:30]), nil, "down l7-closed "},
		"closed in the login":    {ends(hello(native), ""), nil, "down l7-closed "},
		"closed in the query":    {ends(hello(native), ok(2), ""), nil, "down l7-closed "},
		"closed in the columns":  {ends(hello(native), ok(2), packet(1, "\x01")+column(2)[:9]), nil, "down l7-closed "},
		"closed before the row":  {ends(hello(native), ok(2), packet(1, "\x01")+column(2)), nil, "down l7-closed "},
		"closed after the row":   {ends(hello(native), ok(2), packet(1, "\x01")+column(2)+packet(3, "\x011")), nil, "up  "},
		"reset":                  {resets(), nil, "down l7-closed "},
		"mute after the row":     {speaks(hello(native), ok(2), packet(1, "\x01")+column(2)+packet(3, "\x011")), nil, "up  "},
		"mute in the login":      {speaks(hello(native), ""), nil, "down l7-timeout "},
		"mute in the query":      {speaks(hello(native), ok(2), ""), nil, "down l7-timeout "},
		"mute in a packet":       {speaks(hello(native)[:20]), nil, "down l7-timeout "},

		"huge greeting":   {speaks("\xff\xff\xff\x00\x0a"), nil, "down l7-protocol no answer in the MySQL protocol: a packet of 16777215 bytes as a greeting"},
		"huge login":      {speaks(hello(native), "\xff\xff\xff\x02\x00"), nil, "down l7-protocol no answer in the MySQL protocol: a packet of 16777215 bytes"},
		"huge row":        {endless(strings.Repeat("x", 1<<16), hello(native), ok(2), packet(1, "\x01")+column(2)+"\xff\xff\xff\x03\xfd"), nil, "up  "},
		"huge error":      {endless(strings.Repeat("x", 1<<16), hello(native), ok(2), packet(1, "\x01")+column(2)+"\xff\xff\xff\x03\xff"), nil, "down l7-protocol "},
		"huge column":     {endless(strings.Repeat("x", 1<<16), hello(native), ok(2), packet(1, "\x01")+"\xff\xff\xff\x02\x03"), nil, "down l7-protocol "},
		"endless rows":    {endless(packet(3, "\x011"), hello(native), ok(2), packet(1, "\x01")+column(2)), nil, "up  "},
		"endless columns": {endless(column(2), hello(native), ok(2), packet(1, "\xfc\x00\x10")), nil, "down l7-protocol "},
		"many columns":    {speaks(hello(native), ok(2), packet(1, "\xfe\xff\xff\xff\xff\xff\x00\x00\x00")), nil, "down l7-protocol no answer in the MySQL protocol: a result of 1099511627775 columns"},
		"wants a file":    {speaks(hello(native), ok(2), packet(1, "\xfb/etc/shadow")), nil, "down l7-protocol no answer in the MySQL protocol: the server asks for a file of this host"},
		"row cut short":   {speaks(hello(native), ok(2), packet(1, "\x01")+column(2)+packet(3, "\x09ab")), nil, "down l7-protocol "},
		"column cut":      {speaks(hello(native), ok(2), packet(1, "\x01")+packet(2, "\x03def\x00\x00\x00\x01a\x00\x0c")), nil, "down l7-protocol no answer in the MySQL protocol: a result that cannot be understood"},
		"no packet":       {speaks("\x00\x00\x00\x00"), nil, "down l7-protocol "},
		"old protocol":    {speaks(packet(0, "\x093.22\x00")), nil, "down l7-protocol "},
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
	for name, f := range fakes(t) {
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
	for _, name := range []string{"huge greeting", "huge login", "huge row", "endless rows", "many columns"} {
		var before, after runtime.MemStats
		f := fakes(t)[name]
		runtime.ReadMemStats(&before)
		tryFake(t, f, netip.MustParseAddr("127.0.0.1"), time.Second)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%s: %d bytes", name, took)
		}
	}
}

// FuzzServer has a server say anything in place of its part: a probe neither panics nor leaves a goroutine
// behind, which TestMain looks for.
func FuzzServer(f *testing.F) {
	f.Add([]byte(hello(native) + ok(2) + result("1")))
	f.Add([]byte(hello("caching_sha2_password") + packet(2, "\x01\x03") + ok(3) + result("1")))
	f.Add([]byte(hello(native) + packet(2, "\xfe"+native+"\x00"+challenge+"\x00") + failure(4, 1045, "28000", "no")))
	f.Add([]byte(packet(0, "\xff\x00\x04#")))
	f.Add([]byte(packet(0, "\x0a8\x00")))
	f.Add([]byte(hello(native) + packet(2, "\xfe"+native+"\x00abc")))
	f.Add([]byte(hello(native) + packet(2, "\x00\x00\x00")))
	f.Add([]byte(hello(native) + packet(2, "\xff\x00")))
	f.Add([]byte(hello(native) + ok(2) + packet(1, "\xfc")))
	f.Fuzz(func(t *testing.T, said []byte) {
		here, there := net.Pipe()
		defer here.Close()
		go func() { // ends when the pipe does
			defer there.Close()
			_, _ = there.Write(said)
		}()
		go io.Copy(io.Discard, there) //nolint:errcheck // likewise
		s := session{ctx: t.Context(), o: options{Login: "alice", Passwd: "sesame", Request: "SELECT 1"}}
		p, g, err := s.greet(here)
		if err == nil {
			err = s.ask(newGuard(here, p, g, nil))
		}
		_ = err // whatever it is
	})
}
