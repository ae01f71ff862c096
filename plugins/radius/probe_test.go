package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

const shared = "hush"

// server answers like a RADIUS server that knows alice; edit may change the answer ahead of its
// signature, and shape what is sent.
func server(edit func(*radius.Packet), shape func([]byte) []byte) sdktest.Server {
	return sdktest.UDP(func(packet []byte) []byte {
		p, err := radius.Parse(packet, []byte(shared))
		if err != nil || !wellSigned(packet) {
			return nil
		}
		answer := p.Response(radius.CodeAccessReject)
		if rfc2865.UserName_GetString(p) == "alice" && rfc2865.UserPassword_GetString(p) == "sesame" {
			answer.Code = radius.CodeAccessAccept
		}
		if edit != nil {
			edit(answer)
		}
		raw, err := answer.Encode()
		if err != nil {
			panic(err)
		}
		if shape != nil {
			raw = shape(raw)
		}
		return raw
	})
}

// wellSigned says whether a request begins with its Message-Authenticator, and that is right.
func wellSigned(packet []byte) bool {
	const at = headerSize + 2
	if packet[headerSize] != byte(rfc2869.MessageAuthenticator_Type) {
		return false
	}
	blank := bytes.Clone(packet)
	clear(blank[at : at+md5.Size])
	return bytes.Equal(signature(blank, shared), packet[at:at+md5.Size])
}

// sign adds a Message-Authenticator to an answer, which is sum's.
func sign(sum func([]byte) []byte) func(*radius.Packet) {
	return func(p *radius.Packet) {
		p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, md5.Size))
		raw, err := p.MarshalBinary() // with the request's authenticator
		if err != nil {
			panic(err)
		}
		p.Set(rfc2869.MessageAuthenticator_Type, sum(raw))
	}
}

func right(raw []byte) []byte { return signature(raw, shared) }
func wrong(raw []byte) []byte { return signature(raw, "another secret") }
func short([]byte) []byte     { return []byte("short") }

func code(c radius.Code) func(*radius.Packet) {
	return func(p *radius.Packet) { p.Code = c }
}

// second answers every second packet only.
func second() sdktest.Server {
	var count atomic.Int32
	return server(nil, func(raw []byte) []byte {
		if count.Add(1)%2 == 1 {
			return nil
		}
		return raw
	})
}

func alice(more ...string) sdk.Options {
	o := sdk.Options{"login": "alice", "passwd": "sesame", "secret": shared}
	for i := 0; i < len(more); i += 2 {
		o[more[i]] = more[i+1]
	}
	return o
}

const strict = "require-message-authenticator"

func TestContract(t *testing.T) {
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"a healthy": {Server: server(nil, nil), Options: alice(), Want: sdk.StatusUp},
		"refused":   {Options: alice(), Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"resent":    {Server: second(), Options: alice(), Want: sdk.StatusUp},
	})
}

// limit is the deadline of a probe: short when it is waited for, as it is for answers that do not count.
func limit(want, reason string) time.Duration {
	if strings.HasSuffix(want, "-timeout") || want == "down l7-auth" && !strings.Contains(reason, "server") {
		return 400 * time.Millisecond
	}
	return 10 * time.Second
}

func TestServers(t *testing.T) {
	said := func(p *radius.Packet) {
		p.Code = radius.CodeAccessReject
		rfc2865.ReplyMessage_AddString(p, "go away\x1b[31m")
	}
	for name, c := range map[string]struct {
		server sdktest.Server
		o      sdk.Options
		want   string
		reason string
	}{
		"healthy":               {server(nil, nil), alice(), "up ", ""},
		"signed":                {server(sign(right), nil), alice(), "up ", ""},
		"signed, as wanted":     {server(sign(right), nil), alice(strict, "yes"), "up ", ""},
		"unsigned":              {server(nil, nil), alice(strict, "yes"), "down l7-auth", "no answer that counts: it has no Message-Authenticator"},
		"wrongly signed":        {server(sign(wrong), nil), alice(), "down l7-auth", "its Message-Authenticator is wrong"},
		"signature too short":   {server(sign(short), nil), alice(), "down l7-auth", "its Message-Authenticator is wrong"},
		"wrong credentials":     {server(nil, nil), alice("passwd", "x"), "down l7-auth", "the server rejects the user"},
		"long password":         {server(nil, nil), alice("passwd", strings.Repeat("x", 128)), "down l7-auth", "the server rejects the user"},
		"no login":              {server(nil, nil), sdk.Options{"secret": shared}, "down l7-auth", "the server rejects the user"},
		"wrong secret":          {server(nil, nil), alice("secret", "x"), "down l7-timeout", ""}, // our signature is wrong: no answer
		"told":                  {server(said, nil), alice(), "down l7-auth", `the server rejects the user: "go away\x1b[31m"`},
		"challenge":             {server(code(radius.CodeAccessChallenge), nil), alice(), "down l7-auth", "the server wants more"},
		"another answer":        {server(code(radius.CodeAccountingResponse), nil), alice(), "down l7-protocol", "Accounting-Response in answer to an Access-Request"},
		"padded":                {server(nil, func(b []byte) []byte { return append(b, 0, 0, 0) }), alice(), "up ", ""},
		"forged":                {server(nil, func(b []byte) []byte { b[5]++; return b }), alice(), "down l7-auth", "it was not made with our secret"},
		"another number":        {server(nil, func(b []byte) []byte { b[1]++; return b }), alice(), "down l7-auth", "the number of another request"},
		"cut":                   {server(nil, func(b []byte) []byte { return b[:19] }), alice(), "down l7-protocol", "no answer in the RADIUS protocol"},
		"huge":                  {server(nil, func(b []byte) []byte { return append(b, make([]byte, 60_000)...) }), alice(), "up ", ""},
		"huge, and says so":     {server(nil, func(b []byte) []byte { b[2] = 0xff; return append(b, make([]byte, 65_400)...) }), alice(), "down l7-protocol", ""},
		"mute":                  {sdktest.UDP(func([]byte) []byte { return nil }), alice(), "down l7-timeout", ""},
		"another protocol":      {sdktest.UDP(func([]byte) []byte { return []byte("SIP/2.0 400 Bad Request\r\n\r\n") }), alice(), "down l7-protocol", `begins with "SIP/2.0 400 Bad`},
		"one byte at a time":    {server(nil, func(b []byte) []byte { return b[:1] }), alice(), "down l7-protocol", ""},
		"nothing in the answer": {sdktest.UDP(func([]byte) []byte { return []byte{} }), alice(), "down l7-protocol", ""},
	} {
		for _, host := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
			t.Run(name+"/"+host.String(), func(t *testing.T) {
				t.Parallel()
				addr, stop, err := c.server(host)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(stop)
				try(t, addr, c.o, limit(c.want, c.reason), c.want, c.reason)
			})
		}
	}
}

// try probes once, and looks at the verdict and at the time it took: until the deadline when there is something
// to wait for, and else not.
func try(t *testing.T, addr netip.AddrPort, o sdk.Options, limit time.Duration, want, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "radius", Addr: addr, Network: "udp"}, o)
	took := time.Since(begun)
	if got := v.Status.String() + " " + string(v.Code); got != want || !strings.Contains(v.Reason, reason) {
		t.Errorf("%s %v: %s (%s), want %s (%s)\n%s", addr, o, got, v.Reason, want, reason, v.Transcript)
	}
	waits := v.Code == sdk.CodeTimeout || strings.HasPrefix(v.Reason, "no answer that counts")
	if early := took < limit-50*time.Millisecond; waits == early || took > limit+2*time.Second {
		t.Errorf("%s %s: after %v, with a deadline of %v", v.Code, v.Reason, took, limit)
	}
}

// The library's way to hide a password is the measure of ours.
func TestHidden(t *testing.T) {
	p := radius.New(radius.CodeAccessRequest, []byte(shared))
	for _, n := range []int{0, 1, 15, 16, 17, 100, 128} {
		plain := strings.Repeat("p", n)
		want, err := radius.NewUserPassword([]byte(plain), []byte(shared), p.Authenticator[:])
		if got := hidden(plain, shared, p.Authenticator); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %x, want %x (%v)", n, got, want, err)
		}
	}
}

func TestOptions(t *testing.T) {
	c := newCheck().Checker()
	for name, o := range map[string]sdk.Options{
		"login":  {"login": strings.Repeat("x", 254)},
		"passwd": {"passwd": strings.Repeat("x", 129)},
		strict:   {strict: "maybe"},
	} {
		if err := c.Validate(t.Context(), "radius", o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Validate(t.Context(), "radius", nil); err != nil {
		t.Errorf("nothing is required: %v", err)
	}
}

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }
