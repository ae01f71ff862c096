package ld

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ldirectord/ldirectord/sdk"
)

// tried is what a script came to, in a line.
func tried(got ran) string {
	if got.text != "" {
		return got.text
	}
	if got.verdict.Status != sdk.StatusUp {
		return fmt.Sprint(got.verdict.Status, " ", got.verdict.Code, " ", got.verdict.Reason)
	}
	return got.values
}

func TestHTTP(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprintf(w, "other %s %q %s", q.Method, q.Header.Get("Authorization"), q.Header.Get("X-A"))
	}))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(418)
		fmt.Fprintf(w, "%s %s %s %s %s", q.Method, q.Host, body, q.Header.Get("X-A"), q.UserAgent())
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, other.URL, http.StatusSeeOther) })
	mux.HandleFunc("/keep", func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, "/echo", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, "/loop", http.StatusFound) })
	mux.HandleFunc("/odd", func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Location", "ftp://x/")
		w.WriteHeader(302)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, strings.Repeat("x", 3<<20)) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, q *http.Request) {
		for _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err == nil; _, err = io.WriteString(w, strings.Repeat("x", 1<<16)) {
		}
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, q *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		c.Close()
	})
	mux.HandleFunc("/head", func(w http.ResponseWriter, q *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 20_000))
		c.Close()
	})
	mux.HandleFunc("/rude", func(w http.ResponseWriter, q *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		io.WriteString(c, "220 mail\r\n")
		c.Close()
	})
	web := httptest.NewServer(mux)
	defer web.Close()
	target := sdk.Target{Network: "tcp", Addr: netip.MustParseAddrPort(web.Listener.Addr().String())}
	const show = ` return r.status, r.body, r.cut`
	for _, c := range []struct{ script, want string }{
		{`local r = ld.http{url = "/echo", method = "PUT", body = "b", host = "h.example", headers = {["X-A"] = "a"}} return r.status, r.body, r.headers["x-two"]`,
			"418 PUT h.example b a ldirectord 1, 2"},
		{`local r = ld.http{url = "http://" .. ld.host .. ":" .. ld.port .. "/echo"} return r.status`, "418"},
		{`local r = ld.http("/away") return r.status, #r.headers.location > 0`, "303 true"},
		{`local r = ld.http{url = "/away", redirects = 1, method = "POST", body = "x", headers = {Authorization = "secret", ["X-A"] = "a"}}` + show, `200 other GET "" a false`},
		{`local r = ld.http{url = "/keep", redirects = 1, method = "POST", body = "x"}` + show, "418 POST " + target.Addr.String() + " x  ldirectord false"},
		{`local r = ld.http{url = "/loop", redirects = 3} return r.status`, "302"},
		{`local r = ld.http{url = "/odd", redirects = 1}`, `down l7-status status 302 leads to "ftp://x/"`},
		{`local r = ld.http("/big") return #r.body, r.cut`, "1048576 true"},
		{`local r = ld.http{url = "/big", max = 4 * 2^20} return #r.body, r.cut`, "3145728 false"},
		{`local r = ld.http("/endless") return #r.body, r.cut`, "1048576 true"},
		{`local r = ld.http{url = "/big", method = "HEAD"} return #r.body, r.status`, "0 200"},
		{`ld.http("/short")`, "down l7-closed"},
		{`ld.http("/head")`, "down l7-protocol answer's head: longer than 65536 bytes"},
		{`ld.http("/rude")`, "down l7-protocol"},
		{`ld.http{url = "/", tls = true}`, "down l6-tls"},
		{`ld.http{url = "/", headers = {["a\r\nb"] = "x"}}`, "<string>:1: bad argument #1 to http (headers: "},
		{`ld.http{url = "/", method = "A B"}`, "unknown fault"},
	} {
		if got := tried(play(t, within(t, 5*time.Second), Call{Target: target}, c.script)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.script, got, c.want)
		}
	}
}

func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	certificate := web.TLS.Certificates[0]
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
	// A server that takes STARTTLS, and one that says more ahead of it than it may.
	mail := serve(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		line, _ := in.ReadString('\n')
		io.WriteString(c, "220 go\r\n"+strings.TrimPrefix(line, "STARTTLS\n"))
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})
		io.WriteString(secure, "under TLS\r\n")
		io.Copy(io.Discard, secure)
	})
	safe := sdk.Target{Network: "tcp", Addr: netip.MustParseAddrPort(web.Listener.Addr().String())}
	for _, c := range []struct {
		target       sdk.Target
		script, want string
	}{
		{safe, `local c = ld.tcp(ld.host, ld.port, {tls = true}) local p = c:peercert() return p.version, p.names[1], #p.sha256, p.not_after > p.not_before`, "TLS 1.3 example.com 64 true"},
		{safe, `ld.tcp(ld.host, ld.port, {tls = true, verify = true})`, "down l6-tls"},
		{safe, `ld.tcp(ld.host, ld.port, {tls = true, verify = true, ca = ld.option("ca"), sni = "example.com"}) return 1`, "1"},
		{safe, `ld.tcp(ld.host, ld.port, {tls = true, verify = true, ca = ld.option("ca"), sni = "example.org"})`, "down l6-tls"},
		{safe, `ld.tcp(ld.host, ld.port, {tls = true, ca = ld.option("ca")})`, "<string>:1: bad argument #3 to tcp (ca verifies nothing"},
		{safe, `local r = ld.http{url = "/", tls = true, verify = true, ca = ld.option("ca"), host = "example.com:1"} return r.status`, "404"},
		{mail, `local c = ld.tcp(ld.host, ld.port) c:send("STARTTLS\n") c:recv() assert(not c:peercert()) c:starttls() return c:recv(), c:peercert().names[1]`, "under TLS example.com"},
		{mail, `local c = ld.tcp(ld.host, ld.port) c:send("STARTTLS\n") c:recv() c:starttls{verify = true, ca = ld.option("ca"), sni = "example.org"}`, "down l6-tls"},
		{mail, `local c = ld.tcp(ld.host, ld.port) c:send("250 injected\n") c:recv() c:starttls()`, "down l7-protocol the server went on in plain text"},
		{mail, `local c = ld.tcp(ld.host, ld.port) c:send("STARTTLS\n") c:recv() c:starttls() c:starttls()`, "unknown fault"},
	} {
		call := Call{Target: c.target, Options: map[string]string{"ca": authority}}
		if got := tried(play(t, within(t, 5*time.Second), call, c.script)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.script, got, c.want)
		}
	}
}

func TestDNS(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Int32
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		udp := w.RemoteAddr().Network() == "udp"
		rr := func(text string) {
			one, err := dns.NewRR(q.Question[0].Name + " 60 " + text)
			if err != nil {
				t.Error(err)
			}
			m.Answer = append(m.Answer, one)
		}
		switch q.Question[0].Name {
		case "none.test.":
			m.Rcode = dns.RcodeNameError
		case "big.test.":
			if m.Truncated = udp; !udp {
				rr(`TXT "all" "of it"`)
			}
		case "other.test.":
			stranger := m.Copy()
			stranger.Id++
			w.WriteMsg(stranger)
			rr("MX 5 mail.test.")
		case "lost.test.":
			if lost.Add(1) == 1 {
				return
			}
			rr("SRV 1 2 3 host.test.")
		case "noise.test.":
			w.Write([]byte("220 ready"))
			return
		case "mute.test.":
			return
		case "www.test.":
			rr("A 192.0.2.1")
			rr("A 192.0.2.2")
		}
		w.WriteMsg(m)
	})
	servers := []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}}
	for _, s := range servers {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go s.ActivateAndServe() // ends with Shutdown
		<-up
		t.Cleanup(func() { s.Shutdown() })
	}
	target := sdk.Target{Network: "udp", Addr: netip.MustParseAddrPort(packets.LocalAddr().String())}
	const ask = `local r = ld.dns(name, kind, ld.host .. ":" .. ld.port) `
	for _, c := range []struct{ script, want string }{
		{`local name, kind = "www.test", "a" ` + ask + `return #r, r[1].data, r[2].data, r[1].ttl, r[1].name, r.authoritative`, "2 192.0.2.1 192.0.2.2 60 www.test. false"},
		{`local name, kind = "big.test", "TXT" ` + ask + `return r[1].text`, "allof it"},
		{`local name, kind = "other.test", "MX" ` + ask + `return r[1].preference, r[1].host`, "5 mail.test."},
		{`local name, kind = "lost.test", "SRV" ` + ask + `return r[1].priority + r[1].weight + r[1].port, r[1].host`, "6 host.test."},
		{`local name, kind = "empty.test", "A" ` + ask + `return #r`, "0"},
		{`local name, kind = "none.test", "A" ` + ask, "down l7-status NXDOMAIN for none.test."},
		{`local name, kind = "noise.test", "A" ` + ask, "down l7-"},
		{`local name, kind = "mute.test", "A" ` + ask, "down l7-timeout"},
		{`ld.dns("x", "A", "localhost")`, "unknown fault server: ADDRESS or ADDRESS:PORT"},
	} {
		limit := 5 * time.Second
		if strings.Contains(c.want, "timeout") {
			limit = 100 * time.Millisecond
		}
		if got := tried(play(t, within(t, limit), Call{Target: target}, c.script)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.script, got, c.want)
		}
	}
}

func TestUDP(t *testing.T) {
	packets, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() { // ends with packets
		buf := make([]byte, 100)
		for n, from, err := packets.ReadFrom(buf); err == nil; n, from, err = packets.ReadFrom(buf) {
			if string(buf[:n]) != "lost" {
				packets.WriteTo(buf[:n], from)
			}
		}
	}()
	target := sdk.Target{Network: "udp", Addr: netip.MustParseAddrPort(packets.LocalAddr().String())}
	for _, c := range []struct{ script, want string }{
		{`local c = ld.udp(ld.args[3], ld.port) c:send("a") c:send("b") return c:recv(), c:recv(), tostring(c)`, "a b udp [::1]:"},
		{`local c = ld.udp(ld.host, ld.port, {timeout = 0.3}) c:send("lost") local ok, e = pcall(c.recv, c) c:send("x") return e.code, c:recv()`, "l7-timeout x"},
		{`local c = ld.udp(ld.host, ld.port) c:shutdown("w")`, "unknown fault this connection has no half"},
	} {
		call := Call{Target: target, Args: []string{"", "0", "[::1]", "1"}}
		if got := tried(play(t, within(t, 5*time.Second), call, c.script)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.script, got, c.want)
		}
	}
}

// Nothing that a file may hold takes the reader down, and what it reads it writes again.
func FuzzRecording(f *testing.F) {
	f.Add("target tcp 127.0.0.1:1\nverdict up\n\nsend 1 \"a\\n\"\n + \"b\"\nrecv 1 = x\nnow ! down l4-refused \"no\"\n")
	f.Add("verdict\n+ x\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecording("x", []byte(text))
		if err != nil {
			return
		}
		once := string(r.Encode())
		again, err := ParseRecording("x", []byte(once))
		if err != nil || string(again.Encode()) != once {
			t.Errorf("%v\n%s", err, once)
		}
	})
}
