package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// zone answers like a name server that has these records, in presentation form.
func zone(records ...string) func([]byte) []byte {
	return func(packet []byte) []byte {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return nil
		}
		answer := new(dns.Msg).SetReply(m)
		answer.Rcode = dns.RcodeNameError
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			if rr.Header().Name != m.Question[0].Name {
				continue
			}
			answer.Rcode = dns.RcodeSuccess
			if kind := rr.Header().Rrtype; kind == m.Question[0].Qtype || kind == dns.TypeCNAME {
				answer.Answer = append(answer.Answer, rr)
			}
		}
		raw, err := answer.Pack()
		if err != nil {
			panic(err)
		}
		return raw
	}
}

var example = zone(
	"www.example.com. 60 IN A 192.0.2.80", "www.example.com. 60 IN A 192.0.2.81", "www.example.com. 60 IN AAAA 2001:db8::80",
	"six.example.com. 60 IN AAAA 2001:db8::6", "text.example.com. 60 IN TXT hello",
	"alias.example.com. 60 IN CNAME www.example.com.",
	"80.2.0.192.in-addr.arpa. 60 IN PTR www.example.com.",
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR six.example.com.",
)

func with(edit func(answer *dns.Msg)) func([]byte) []byte {
	return func(packet []byte) []byte {
		m := new(dns.Msg)
		if m.Unpack(example(packet)) != nil {
			return nil
		}
		edit(m)
		raw, _ := m.Pack()
		return raw
	}
}

// second answers every second packet only.
func second() func([]byte) []byte {
	var count atomic.Int32
	return func(packet []byte) []byte {
		if count.Add(1)%2 == 1 {
			return nil
		}
		return example(packet)
	}
}

func TestUDP(t *testing.T) {
	www := sdk.Options{"request": "www.example.com"}
	ask := func(request, receive string) sdk.Options { return sdk.Options{"request": request, "receive": receive} }
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"a healthy":      {Server: sdktest.UDP(example), Options: ask("www.example.com", `^192\.0\.2\.80$`), Want: sdk.StatusUp},
		"second address": {Server: sdktest.UDP(example), Options: ask("www.example.com.", `^192\.0\.2\.81$`), Want: sdk.StatusUp},
		"aaaa too":       {Server: sdktest.UDP(example), Options: ask("www.example.com", `^2001:db8::80$`), Want: sdk.StatusUp},
		"aaaa only":      {Server: sdktest.UDP(example), Options: sdk.Options{"request": "six.example.com"}, Want: sdk.StatusUp},
		"no request": {Server: sdktest.UDP(example), Options: sdk.Options{}, Want: sdk.StatusDown,
			Code: sdk.CodeProtocol, Reason: "request is not set"},
		"no receive":  {Server: sdktest.UDP(example), Options: www, Want: sdk.StatusUp},
		"ptr":         {Server: sdktest.UDP(example), Options: ask("192.0.2.80", `^www\.example\.com$`), Want: sdk.StatusUp},
		"ptr of ipv6": {Server: sdktest.UDP(example), Options: ask("2001:db8::1", `^six`), Want: sdk.StatusUp},
		"wrong content": {Server: sdktest.UDP(example), Options: ask("www.example.com", `^10\.`), Want: sdk.StatusDown,
			Code: sdk.CodeMatch, Reason: "receive does not match 192.0.2.80, 192.0.2.81, 2001:db8::80"},
		"each alone": {Server: sdktest.UDP(example), Options: ask("www.example.com", `80.*81`), Want: sdk.StatusDown, Code: sdk.CodeMatch},
		"no name": {Server: sdktest.UDP(example), Options: sdk.Options{"request": "none.example.com"}, Want: sdk.StatusDown,
			Code: sdk.CodeStatus, Reason: "NXDOMAIN for none.example.com."},
		"no record": {Server: sdktest.UDP(example), Options: sdk.Options{"request": "text.example.com"}, Want: sdk.StatusDown,
			Code: sdk.CodeStatus, Reason: "has no A or AAAA record"},
		"alias without its record": {Server: sdktest.UDP(example), Options: sdk.Options{"request": "alias.example.com"}, Want: sdk.StatusDown,
			Code: sdk.CodeStatus, Reason: "has no A or AAAA record"},
		"refused by policy": {Server: sdktest.UDP(with(func(m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeRefused, nil })), Options: www,
			Want: sdk.StatusDown, Code: sdk.CodeStatus, Reason: "REFUSED"},
		"error without the question": {Server: sdktest.UDP(with(func(m *dns.Msg) { m.Rcode, m.Answer, m.Question = dns.RcodeServerFailure, nil, nil })),
			Options: www, Want: sdk.StatusDown, Code: sdk.CodeStatus, Reason: "SERVFAIL"},
		"another question": {Server: sdktest.UDP(with(func(m *dns.Msg) { m.Question[0].Name = "evil.example.com." })), Options: www,
			Want: sdk.StatusDown, Code: sdk.CodeProtocol},
		"another number": {Server: sdktest.UDP(with(func(m *dns.Msg) { m.Id++ })), Options: www, Timeout: 300 * time.Millisecond,
			Want: sdk.StatusDown, Code: sdk.CodeTimeout},
		"another protocol": {Server: sdktest.UDP(func([]byte) []byte { return []byte("220 smtp\r\n") }), Options: www,
			Want: sdk.StatusDown, Code: sdk.CodeProtocol, Reason: "220 smtp"},
		"echo": {Server: sdktest.UDP(func(p []byte) []byte { return p }), Options: www, Want: sdk.StatusDown, Code: sdk.CodeProtocol},
		"cut": {Server: sdktest.UDP(func(p []byte) []byte { a := example(p); return a[:len(a)-3] }), Options: www,
			Want: sdk.StatusDown, Code: sdk.CodeProtocol},
		"lost packet": {Server: sdktest.UDP(second()), Options: www, Timeout: 5 * time.Second, Want: sdk.StatusUp},
		"silent": {Server: sdktest.UDP(func([]byte) []byte { return nil }), Options: www, Timeout: 300 * time.Millisecond,
			Want: sdk.StatusDown, Code: sdk.CodeTimeout},
		"refused": {Options: www, Want: sdk.StatusDown, Code: sdk.CodeRefused},
	})
}

// framed answers over TCP, with what shape makes of the framed answer.
func framed(answer func([]byte) []byte, shape func(net.Conn, []byte)) sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		head := make([]byte, 2)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(head))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		raw := answer(query)
		shape(c, append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...))
	})
}

func whole(c net.Conn, p []byte) { c.Write(p) }

// huge has as many records as a message can hold.
func huge(packet []byte) []byte {
	var records []string
	for i := range 2000 {
		records = append(records, fmt.Sprintf("www.example.com. 60 IN A 10.0.%d.%d", i/250, i%250))
	}
	return zone(records...)(packet)
}

func TestTCP(t *testing.T) {
	for name, c := range map[string]struct {
		server  sdktest.Server
		receive string
		want    string
	}{
		"healthy":          {framed(example, whole), `^192\.0\.2\.80$`, "up "},
		"huge":             {framed(huge, whole), `^10\.0\.7\.249$`, "up "},
		"huge, no match":   {framed(huge, whole), `^11`, "down l7-match"},
		"wrong content":    {framed(example, whole), "x", "down l7-match"},
		"mute":             {sdktest.Silent(), "", "down l7-timeout"},
		"closed at once":   {sdktest.Closing(), "", "down l7-closed"},
		"closed in it":     {framed(example, func(c net.Conn, p []byte) { c.Write(p[:30]) }), "", "down l7-closed"},
		"another protocol": {sdktest.Lines("220 mail.example.com ESMTP ready"), "", "down l7-protocol"},
		"drip":             {framed(example, drip), "", "down l7-timeout"},
		"empty":            {framed(func([]byte) []byte { return nil }, whole), "", "down l7-closed"},
		"black hole":       {sdktest.BlackHole(), "", "down l4-timeout"},
		"refused":          {closed("tcp"), "", "down l4-refused"},
	} {
		t.Run(name, func(t *testing.T) { overBoth(t, "tcp", c.server, c.receive, c.want) })
	}
}

// The same over UDP, where TestUDP looks at reasons, over IPv4 alone, and not at the time.
func TestUDPInTime(t *testing.T) {
	answers := func(text string) sdktest.Server { return sdktest.UDP(func([]byte) []byte { return []byte(text) }) }
	shaped := func(shape func([]byte) []byte) sdktest.Server {
		return sdktest.UDP(func(p []byte) []byte { return shape(example(p)) })
	}
	for name, c := range map[string]struct {
		server  sdktest.Server
		receive string
		want    string
	}{
		"healthy":            {sdktest.UDP(example), `^192\.0\.2\.80$`, "up "},
		"wrong content":      {sdktest.UDP(example), "x", "down l7-match"},
		"refused":            {closed("udp"), "", "down l4-refused"},
		"mute":               {sdktest.UDP(func([]byte) []byte { return nil }), "", "down l7-timeout"},
		"another protocol":   {answers("SIP/2.0 400 Bad Request\r\n\r\n"), "", "down l7-protocol"},
		"nothing":            {answers(""), "", "down l7-protocol"},
		"a byte":             {shaped(func(p []byte) []byte { return p[:1] }), "", "down l7-protocol"},
		"half":               {shaped(func(p []byte) []byte { return p[:len(p)/2] }), "", "down l7-protocol"},
		"huge":               {shaped(func(p []byte) []byte { return append(p, make([]byte, 60_000)...) }), "", "up "},
		"huge, records, too": {sdktest.UDP(huge), "^11", "down l7-protocol"},
	} {
		t.Run(name, func(t *testing.T) { overBoth(t, "udp", c.server, c.receive, c.want) })
	}
}

// overBoth looks once over IPv4 and once over IPv6, at the verdict and at the time it takes.
func overBoth(t *testing.T, network string, server sdktest.Server, receive, want string) {
	for _, host := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
		t.Run(host.String(), func(t *testing.T) {
			t.Parallel()
			addr, stop, err := server(host)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			v, took := look(t, sdk.Target{Service: "dns", Addr: addr, Network: network}, receive)
			if got := v.Status.String() + " " + string(v.Code); got != want {
				t.Errorf("%s (%s), want %s", got, v.Reason, want)
			}
			late := strings.HasSuffix(string(v.Code), "timeout")
			if early := took < limit-50*time.Millisecond; took > limit+2*time.Second || late == early {
				t.Errorf("%s after %v", v.Code, took)
			}
		})
	}
}

// closed is a port that nobody listens on.
func closed(network string) sdktest.Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		one := sdktest.Silent()
		if network == "udp" {
			one = sdktest.UDP(func([]byte) []byte { return nil })
		}
		addr, stop, err := one(host)
		if err == nil {
			stop()
		}
		return addr, func() {}, err
	}
}

func drip(c net.Conn, p []byte) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range p {
		<-tick.C
		if _, err := c.Write(p[i : i+1]); err != nil {
			return
		}
	}
}

// limit is the deadline of look.
const limit = 500 * time.Millisecond

func look(t *testing.T, target sdk.Target, receive string) (sdk.Verdict, time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	v := newCheck().Checker().Probe(ctx, target, sdk.Options{"request": "www.example.com", "receive": receive})
	return v, time.Since(begun)
}

// An answer with the truncation bit is asked for over TCP, on the same port.
func TestTruncated(t *testing.T) {
	addr, stop, err := framed(huge, whole)(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	packets, err := net.ListenPacket("udp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			packets.WriteTo(with(func(m *dns.Msg) { m.Truncated, m.Answer = true, nil })(buf[:n]), from)
		}
	}()
	v, _ := look(t, sdk.Target{Service: "dns", Addr: addr, Network: "udp"}, `^10\.0\.7\.249$`)
	if v.Status != sdk.StatusUp || !strings.Contains(v.Transcript, "once more over tcp") {
		t.Errorf("%+v", v)
	}
}

func TestOptions(t *testing.T) {
	for request, want := range map[string]string{
		"www.example.com": "www.example.com. [1 28]",
		"192.0.2.1":       "1.2.0.192.in-addr.arpa. [12]",
		"localhost":       "localhost. [1 28]",
		"":                "error",
		"a..b":            "error",
	} {
		var q question
		got := "error"
		if q.UnmarshalText([]byte(request)) == nil {
			got = fmt.Sprint(q.name, " ", q.types)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", request, got, want)
		}
	}
	if err := newCheck().Checker().Validate(t.Context(), "dns", nil); err != nil {
		t.Errorf("without request: %v", err)
	}
}

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }
