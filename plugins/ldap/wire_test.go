package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestCodes(t *testing.T) {
	for result, want := range map[uint16][2]sdk.Code{ // at the bind, later
		ldap.LDAPResultInvalidCredentials:       {sdk.CodeAuth, sdk.CodeAuth},
		ldap.LDAPResultInsufficientAccessRights: {sdk.CodeAuth, sdk.CodeAuth},
		ldap.LDAPResultNoSuchObject:             {sdk.CodeAuth, sdk.CodeStatus},
		ldap.LDAPResultInvalidDNSyntax:          {sdk.CodeAuth, sdk.CodeStatus},
		ldap.LDAPResultTimeLimitExceeded:        {sdk.CodeTimeout, sdk.CodeTimeout},
		ldap.LDAPResultBusy:                     {sdk.CodeStatus, sdk.CodeStatus},
		ldap.LDAPResultUnwillingToPerform:       {sdk.CodeStatus, sdk.CodeStatus},
		ldap.LDAPResultReferral:                 {sdk.CodeStatus, sdk.CodeStatus},
		4100:                                    {sdk.CodeStatus, sdk.CodeStatus},
	} {
		if got := [2]sdk.Code{codeOf(result, true), codeOf(result, false)}; got != want {
			t.Errorf("result %d: %q, want %q", result, got, want)
		}
	}
}

// input is a connection on which a server said something and closed.
type input struct {
	io.Reader
	net.Conn
}

func (i input) Read(p []byte) (int, error) { return i.Reader.Read(p) }

// FuzzMessages: the library sees whole messages and nothing else, whatever a server says.
func FuzzMessages(f *testing.F) {
	for _, said := range []string{startTLS, unbind, startTLS + unbind, "\x30\x00", "\x30\x80", "\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff",
		"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", "\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00", "HTTP/1.1", "0", ""} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		w := newWire(input{Reader: bytes.NewReader(said)})
		seen, err := io.ReadAll(w)
		if !bytes.HasPrefix(said, seen) || len(seen) > maxTotal {
			t.Errorf("%q is not what was said", seen)
		}
		if err == nil && len(seen) != len(said) {
			t.Errorf("%d bytes of %d, and no error", len(seen), len(said))
		}
		if v := probe.Judge(w.failure()); v.Status != sdk.StatusDown {
			t.Errorf("%v: %+v", w.failure(), v)
		}
	})
}

// The library's goroutines end with the probe, however that ends.
func TestNothingIsLeft(t *testing.T) {
	for name, answer := range map[string]string{"garbage": "garbage\n", "two answers": "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00" +
		"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", "notice": "\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00"} {
		client, server := net.Pipe()
		closed := make(chan struct{})
		go func() { // ends with the connection, which the test waits for
			defer close(closed)
			_, _ = io.ReadFull(server, make([]byte, 14))
			_, _ = io.WriteString(server, answer)
			_, _ = io.Copy(io.Discard, server)
		}()
		s := session{ctx: t.Context(), tr: probe.NewTrace()}
		w := newWire(probe.Bind(t.Context(), client))
		if err := w.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		c := ldap.NewConn(w, true)
		c.Start()
		if v := s.ask(c, w); v.Status != sdk.StatusDown {
			t.Errorf("%s: %+v", name, v)
		}
		_ = c.Unbind()
		_ = c.Close()
		select {
		case <-closed:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the connection is still open", name)
		}
	}
}

// Leave is taken after a success, and after a refusal.
func TestUnbinds(t *testing.T) {
	for name, c := range map[string]struct {
		o       sdk.Options
		answers []string // each to one message
	}{
		"read": {nil, []string{"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
			"\x30\x09\x02\x01\x02\x64\x04\x04\x00\x30\x00\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00"}},
		"bind refused":     {nil, []string{"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00"}},
		"search refused":   {nil, []string{"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", "\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x20\x04\x00\x04\x00"}},
		"StartTLS refused": {sdk.Options{"starttls": "yes"}, []string{"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"}},
	} {
		last := make(chan string, 1)
		addr, stop, err := sdktest.TCP(func(peer net.Conn) {
			in := newWire(peer)
			for _, answer := range c.answers {
				if _, _, err := in.message(); err != nil {
					break
				}
				_, _ = io.WriteString(peer, answer)
			}
			rest, _ := io.ReadAll(in.in)
			last <- string(rest)
		})(netip.MustParseAddr("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "ldap", Addr: addr, Network: "tcp"}, c.o)
		cancel()
		if got := <-last; !strings.HasSuffix(got, "\x42\x00") || len(got) != len(unbind) {
			t.Errorf("%s (%s): the last words are %q", name, v.Reason, got)
		}
		stop()
	}
}
