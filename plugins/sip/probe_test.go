package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// reply makes an answer with that first line to what a client sent, or messages as they are.
func reply(lines ...string) func([]byte) []byte {
	return func(asked []byte) []byte {
		in, out := bufio.NewScanner(strings.NewReader(string(asked))), ""
		var copied string
		for in.Scan() {
			for _, name := range []string{"Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "} {
				if strings.HasPrefix(in.Text(), name) {
					copied += in.Text() + "\r\n"
				}
			}
		}
		for _, line := range lines {
			out += line + "\r\n" + copied + "Content-Length: 0\r\n\r\n"
		}
		return []byte(out)
	}
}

// over is a server of both networks, which sends what answer makes of a message.
func over(network string, answer func([]byte) []byte) sdktest.Server {
	if network == "udp" {
		return sdktest.UDP(answer)
	}
	return stream(answer, func(c net.Conn, p []byte) { c.Write(p) })
}

// stream reads heads over tcp, and has shape send what answer makes of them.
func stream(answer func([]byte) []byte, shape func(net.Conn, []byte)) sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		in, head := bufio.NewReader(c), ""
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if head += line; line == "\r\n" {
				shape(c, answer([]byte(head)))
				head = ""
			}
		}
	})
}

func then(answer func([]byte) []byte, edit func(string) string) func([]byte) []byte {
	return func(asked []byte) []byte { return []byte(edit(string(answer(asked)))) }
}

func replaced(pattern, with string) func([]byte) []byte {
	return then(reply("SIP/2.0 200 OK"), func(s string) string {
		return regexp.MustCompile(pattern).ReplaceAllString(s, with)
	})
}

// third answers every third request only.
func third() func([]byte) []byte {
	var count atomic.Int32
	return func(asked []byte) []byte {
		if count.Add(1)%3 != 0 {
			return nil
		}
		return reply("SIP/2.0 200 OK")(asked)
	}
}

func TestContract(t *testing.T) {
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"a healthy": {Server: sdktest.UDP(reply("SIP/2.0 200 OK")), Want: sdk.StatusUp},
		"refused":   {Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"resent":    {Server: sdktest.UDP(third()), Want: sdk.StatusUp},
	})
}

// limit is the deadline of a probe that deserves want: short when it is waited for.
func limit(want string) time.Duration {
	if strings.HasSuffix(want, "-timeout") {
		return 400 * time.Millisecond
	}
	return 10 * time.Second
}

func raw(s string) func([]byte) []byte { return func([]byte) []byte { return []byte(s) } }

func TestServers(t *testing.T) {
	for name, c := range map[string]struct {
		answer       func([]byte) []byte
		want, reason string
	}{
		"healthy":          {reply("SIP/2.0 200 OK"), "up ", ""},
		"another 2xx":      {reply("SIP/2.0 299 Fine"), "up ", ""},
		"without a reason": {reply("SIP/2.0 200"), "up ", ""},
		"short names":      {then(reply("SIP/2.0 200 OK"), strings.NewReplacer("Via", "v", "Call-ID", "i").Replace), "up ", ""},
		"odd names":        {then(reply("SIP/2.0 200 OK"), strings.NewReplacer("Via:", "VIA :", "Call-ID: ", "call-id:\r\n ").Replace), "up ", ""},
		"several vias": {then(reply("SIP/2.0 200 OK"), func(s string) string {
			return strings.Replace(s, ";rport", ";rport, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", 1)
		}), "up ", ""},
		"keep-alive first": {then(reply("SIP/2.0 200 OK"), func(s string) string { return "\r\n\r\n" + s }), "up ", ""},
		"wrong content":    {reply("SIP/2.0 503 Service Unavailable"), "down l7-status", `the server answers "503 Service Unavailable"`},
		"moved":            {reply("SIP/2.0 302 Moved"), "down l7-status", ""},
		"wants a login":    {reply("SIP/2.0 407 Proxy Authentication Required"), "down l7-auth", ""},
		"escaped":          {reply("SIP/2.0 500 \x1b[31m"), "down l7-status", `500 \x1b[31m`},
		"another protocol": {raw("HTTP/1.1 400 Bad Request\r\n\r\n"), "down l7-protocol", `no answer in the SIP protocol: "HTTP/1.1 400 Bad Request"`},
		"binary":           {raw("\x15\x03\x01\x00\x02\x02\x16\n"), "down l7-protocol", `\x15\x03`},
		"no status":        {raw("SIP/2.0 OK\r\n\r\n"), "down l7-protocol", ""},
		"status too large": {raw("SIP/2.0 700 OK\r\n\r\n"), "down l7-protocol", ""},
		"huge line":        {raw("SIP/2.0 200 " + strings.Repeat("x", 60_000)), "down l7-protocol", "too long"},
		"huge head":        {raw("SIP/2.0 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 100)+"\r\n", 500)), "down l7-protocol", "more than 32768 bytes"},
		"huge body":        {then(reply("SIP/2.0 200 OK"), func(s string) string { return s + strings.Repeat("x", 60_000) }), "up ", ""},
		"another call":     {replaced(`Call-ID: .`, "Call-ID: "), "down l7-timeout", ""},
		"another branch":   {replaced(`z9hG4bK.`, "z9hG4bK"), "down l7-timeout", ""},
		"another number":   {replaced(`CSeq: 1`, "CSeq: 2"), "down l7-timeout", ""},
		"another method":   {replaced(`1 OPTIONS`, "1 INVITE"), "down l7-timeout", ""},
		"no via":           {replaced(`Via: .*\r\n`, ""), "down l7-timeout", ""},
		"its own request":  {reply("OPTIONS sip:x SIP/2.0"), "down l7-timeout", ""},
		"mute":             {raw(""), "down l7-timeout", ""},
		"provisional":      {reply("SIP/2.0 100 Trying"), "down l7-timeout", `the last answer was "100 Trying"`},
	} {
		for _, network := range []string{"udp", "tcp"} {
			for _, host := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
				t.Run(name+"/"+network+"/"+host.String(), func(t *testing.T) {
					t.Parallel()
					against(t, network, over(network, c.answer), host, c.want, c.reason)
				})
			}
		}
	}
}

// TestStream is about what only a stream can do.
func TestStream(t *testing.T) {
	ok, body := reply("SIP/2.0 200 OK"), strings.NewReplacer("Length: 0\r\n\r\n", "Length: 5\r\n\r\nhello").Replace
	write := func(c net.Conn, p []byte) { c.Write(p) }
	for name, c := range map[string]struct {
		server       sdktest.Server
		want, reason string
	}{
		"provisional first": {stream(reply("SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"), write), "up ", ""},
		"with a body": {stream(func(asked []byte) []byte {
			return append([]byte(body(string(reply("SIP/2.0 100 Trying")(asked)))), ok(asked)...)
		}, write), "up ", ""},
		"body too large": {stream(then(reply("SIP/2.0 100 Trying"), strings.NewReplacer("Length: 0", "Length: 99999").Replace), write), "down l7-protocol", `Content-Length "99999"`},
		"bad length":     {stream(then(reply("SIP/2.0 100 Trying"), strings.NewReplacer("Length: 0", "Length: -1").Replace), write), "down l7-protocol", `Content-Length "-1"`},
		"closed at once": {sdktest.Closing(), "down l7-closed", ""},
		"closed in it":   {stream(ok, func(c net.Conn, p []byte) { c.Write(p[:40]); c.Close() }), "down l7-closed", ""},
		"closed after a provisional one": {stream(reply("SIP/2.0 100 Trying"), func(c net.Conn, p []byte) { c.Write(p); c.Close() }),
			"down l7-closed", `the last answer was "100 Trying"`},
		"never speaks": {sdktest.Silent(), "down l7-timeout", ""},
		"black hole":   {sdktest.BlackHole(), "down l4-timeout", ""},
		"drip":         {stream(ok, drip), "down l7-timeout", ""},
		"endless": {sdktest.TCP(func(c net.Conn) {
			for err := error(nil); err == nil; {
				_, err = c.Write([]byte(strings.Repeat("SIP/2.0 100 Trying\r\n\r\n", 100)))
			}
		}), "down l7-timeout", ""},
		"another protocol, first": {sdktest.Lines("220 mail.example.com ESMTP"), "down l7-protocol", ""},
	} {
		for _, host := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
			t.Run(name+"/"+host.String(), func(t *testing.T) {
				t.Parallel()
				against(t, "tcp", c.server, host, c.want, c.reason)
			})
		}
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run("refused/"+host, func(t *testing.T) {
			closed := func(h netip.Addr) (netip.AddrPort, func(), error) {
				addr, stop, err := sdktest.Silent()(h)
				if err == nil {
					stop()
				}
				return addr, func() {}, err
			}
			against(t, "tcp", closed, netip.MustParseAddr(host), "down l4-refused", "")
		})
	}
}

func drip(c net.Conn, p []byte) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := range p {
		<-tick.C
		if _, err := c.Write(p[i : i+1]); err != nil {
			return
		}
	}
}

func against(t *testing.T, network string, server sdktest.Server, host netip.Addr, want, reason string) {
	t.Helper()
	addr, stop, err := server(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	try(t, network, addr, nil, limit(want), want, reason)
}

// try probes once, and looks at the verdict and at the time it took: until the deadline when something is
// waited for, and else not.
func try(t *testing.T, network string, addr netip.AddrPort, o sdk.Options, limit time.Duration, want, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "sip", Addr: addr, Network: network}, o)
	took := time.Since(begun)
	if got := v.Status.String() + " " + string(v.Code); got != want || !strings.Contains(v.Reason, reason) {
		t.Errorf("%s %s %v: %s (%s), want %s (%s)\n%s", network, addr, o, got, v.Reason, want, reason, v.Transcript)
	}
	waits := strings.HasSuffix(string(v.Code), "-timeout")
	if early := took < limit-50*time.Millisecond; waits == early || took > limit+2*time.Second {
		t.Errorf("%s %s: after %v, with a deadline of %v", v.Code, v.Reason, took, limit)
	}
}

var message = regexp.MustCompile(`^OPTIONS sip:alice@example\.com SIP/2\.0
Via: SIP/2\.0/(UDP|TCP) (\S+);branch=(z9hG4bK[A-Z2-7]{26});rport
Max-Forwards: 70
From: <sip:alice@example\.com>;tag=([A-Z2-7]{10})
To: <sip:alice@example\.com>
Call-ID: ([A-Z2-7]{26})
CSeq: 1 OPTIONS
Contact: <sip:(\S+);transport=(udp|tcp)>
Accept: application/sdp
User-Agent: ldirectord
Content-Length: 0

$`)

// Each probe says where it is answered and over what, and uses no name twice.
func TestMessage(t *testing.T) {
	used := map[string]bool{}
	for _, network := range []string{"udp", "tcp", "udp"} {
		for _, host := range []string{"127.0.0.1", "::1"} {
			sent := make(chan string, 1)
			addr, stop, err := over(network, func(asked []byte) []byte {
				sent <- string(asked)
				return reply("SIP/2.0 200 OK")(asked)
			})(netip.MustParseAddr(host))
			if err != nil {
				t.Fatal(err)
			}
			try(t, network, addr, sdk.Options{"login": "alice@example.com"}, 5*time.Second, "up ", "")
			stop()
			text := strings.ReplaceAll(<-sent, "\r\n", "\n")
			m := message.FindStringSubmatch(text)
			if m == nil || m[1] != strings.ToUpper(network) || m[2] != m[6] || m[7] != network ||
				!strings.HasPrefix(m[2], net.JoinHostPort(host, "")) {
				t.Errorf("%s %s: it sent\n%s", network, host, text)
				continue
			}
			for _, name := range m[3:6] {
				if used[name] {
					t.Errorf("%q is used twice", name)
				}
				used[name] = true
			}
		}
	}
}

// The same request is sent again, later each time, and more rarely after a provisional answer (RFC 3261, 17.1.2.2).
func TestResending(t *testing.T) {
	for name, c := range map[string]struct {
		answer func([]byte) []byte
		want   int32 // in 2 seconds: at 0, 0.5, 1.5
	}{"mute": {raw(""), 3}, "provisional": {reply("SIP/2.0 100 Trying"), 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var count atomic.Int32
			var first atomic.Value
			addr, stop, err := sdktest.UDP(func(asked []byte) []byte {
				count.Add(1)
				if !first.CompareAndSwap(nil, string(asked)) && first.Load() != string(asked) {
					t.Errorf("it is another request: %s", asked)
				}
				return c.answer(asked)
			})(netip.MustParseAddr("127.0.0.1"))
			if err != nil {
				t.Fatal(err)
			}
			try(t, "udp", addr, nil, 2*time.Second, "down l7-timeout", "")
			stop()
			if count.Load() != c.want {
				t.Errorf("%d requests, want %d", count.Load(), c.want)
			}
		})
	}
}

// The examples of RFC 7616, 3.9.1, are for GET; these sums were made with openssl.
func TestDigest(t *testing.T) {
	o := options{Login: "sip:alice@example.com", Passwd: "sesame", URI: "sip:example.com"}
	for challenge, want := range map[string]string{
		`Digest realm="r", nonce="n"`:                                 `Digest username="alice", realm="r", nonce="n", uri="sip:example.com", response="6a09dbafa49fe256321a95ea8f3232f2"`,
		`Digest realm="r\"q", nonce="n", opaque="o,p", algorithm=MD5`: `algorithm=MD5, opaque="o,p", response="0b3e600229f47b1aab1c951b90eff568"`,
		`Digest realm="r", nonce="n", algorithm=SHA-256`:              `algorithm=SHA-256, response="b5e465f5660ce0b94d048f753ff798f6ac7d75fc82b3d4002a57a29b7028d3fc"`,
		`Digest realm="r", nonce="n", qop="auth-int,auth"`:            `qop=auth, nc=00000001, cnonce="`,
		`Digest realm="r", nonce="n", qop="auth-int"`:                 "",
		`Digest realm="r", nonce="n", algorithm=MD5-sess`:             "",
		`Basic realm="r"`: "",
	} {
		text, err := credentials(&response{status: 407, text: "407 No", fields: map[string][]string{"proxy-authenticate": {challenge}}}, o)
		if (err == nil) != (want != "") || err == nil && !strings.Contains(text, "Proxy-Authorization: Digest") || !strings.Contains(text, want) {
			t.Errorf("%s: %q, %v", challenge, text, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Setenv("HOSTNAME", "director.example.com")
	for login, want := range map[string]string{
		"":                       "sip:ldirectord@director.example.com ldirectord",
		"alice@example.com":      "sip:alice@example.com alice",
		"sips:bob:x@example.com": "sips:bob:x@example.com bob",
		"a b@example.com":        "error",
		"a>@example.com":         "error",
		"a@example.com\r\nX: y":  "error",
	} {
		var a address
		got := "error"
		if a.UnmarshalText([]byte(login)) == nil {
			o := options{Login: a}.filled()
			got = fmt.Sprint(o.URI, " ", o.Login.user())
		}
		if got != want {
			t.Errorf("%q: %s, want %s", login, got, want)
		}
	}
}

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }
