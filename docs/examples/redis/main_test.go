package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// TestMain makes this test the plugin itself when a director, or TestAsAProcess, starts it.
func TestMain(m *testing.M) {
	if os.Getenv("LDIRECTORD_CHECK_PLUGIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// answering says one text per command, whatever the command is.
func answering(answers ...string) sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		b := make([]byte, 4096)
		for _, a := range answers {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := io.WriteString(c, a); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	})
}

// What no healthy Redis says: the real ones are in redis_test.go.
func TestStrangeServers(t *testing.T) {
	role := func(r string) sdk.Options { return sdk.Options{"role": r} }
	down := func(code sdk.Code, reason string, o sdk.Options, s sdktest.Server) sdktest.Case {
		return sdktest.Case{Server: s, Options: o, Timeout: 300 * time.Millisecond, Want: sdk.StatusDown, Code: code, Reason: reason}
	}
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"pong":           {Server: answering("+PONG\r\n"), Want: sdk.StatusUp},
		"mail server":    down(sdk.CodeProtocol, `"220 mail"`, nil, sdktest.Lines("220 mail")),
		"web server":     down(sdk.CodeProtocol, "HTTP/1.1 400", nil, answering("HTTP/1.1 400 Bad Request\r\n\r\n")),
		"loading":        down(sdk.CodeStatus, "LOADING", nil, answering("-LOADING Redis is loading\r\n")),
		"wrong answer":   down(sdk.CodeProtocol, `"PUNG", want PONG`, nil, answering("+PUNG\r\n")),
		"list for PING":  down(sdk.CodeProtocol, "want PONG", nil, answering("*1\r\n+PONG\r\n")),
		"endless line":   down(sdk.CodeProtocol, "too long", nil, answering("+"+strings.Repeat("x", 9000))),
		"huge string":    down(sdk.CodeProtocol, "too long", nil, answering("$999999999\r\n")),
		"huge list":      down(sdk.CodeProtocol, "too long", role("master"), answering("+PONG\r\n", "*999999999\r\n")),
		"many items":     down(sdk.CodeProtocol, "too long", role("master"), answering("+PONG\r\n", "*4000\r\n"+strings.Repeat("*1\r\n:1\r\n", 4000))),
		"deep list":      down(sdk.CodeProtocol, "too long", role("master"), answering("+PONG\r\n", strings.Repeat("*1\r\n", 50))),
		"bad length":     down(sdk.CodeProtocol, "length", nil, answering("$x\r\n")),
		"bad end":        down(sdk.CodeProtocol, "without its end", nil, answering("$4\r\nPONGPONG\r\n")),
		"bad number":     down(sdk.CodeProtocol, "number", nil, answering(":1x\r\n")),
		"empty line":     down(sdk.CodeProtocol, "empty line", nil, answering("\r\n")),
		"no role":        down(sdk.CodeProtocol, "not a list", role("master"), answering("+PONG\r\n", "*-1\r\n")),
		"sentinel":       down(codeRole, "its role is sentinel, want master", role("master"), answering("+PONG\r\n", "*1\r\n$8\r\nsentinel\r\n")),
		"short replica":  down(sdk.CodeProtocol, "2 parts", role("replica"), answering("+PONG\r\n", "*2\r\n$5\r\nslave\r\n$1\r\nx\r\n")),
		"closes":         down(sdk.CodeClosed, "", nil, sdktest.Closing()),
		"hangs":          down(sdk.CodeTimeout, "", nil, sdktest.Silent()),
		"hangs halfway":  down(sdk.CodeTimeout, "", role("master"), answering("+PONG\r\n", "*2\r\n$6\r\n")),
		"nobody":         down(sdk.CodeRefused, "", nil, nil),
		"echoes secrets": down(sdk.CodeStatus, "ERR what is ***?", sdk.Options{"passwd": "sesame"}, answering("-ERR what is sesame?\r\n")),
	})
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options sdk.Options
		wrong   string
	}{
		{sdk.Options{"role": "slave"}, "role"},
		{sdk.Options{"login": "monitor"}, "login"},
		{sdk.Options{"database": "1"}, "database"},
		{sdk.Options{"login": "monitor", "passwd": "sesame", "role": "master"}, ""},
	} {
		err := newCheck().Checker().Validate(t.Context(), "redis", c.options)
		var oe *sdk.OptionError
		if got := errors.As(err, &oe); got != (c.wrong != "") || got && oe.Option != c.wrong {
			t.Errorf("%v: %v", c.options, err)
		}
	}
}

// The plugin as a director runs it: a process, the handshake, TLS.
func TestAsAProcess(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.OpenPath(t.Context(), exe)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := sdktest.Sample{Service: sdk.Service{Name: "redis", Network: "tcp"}, Server: answering("+PONG\r\n")}
	for _, r := range sdktest.Rules() {
		t.Run(r.Name, func(t *testing.T) {
			if err := r.Try(t.Context(), sdktest.Streamed(c), s); err != nil {
				t.Errorf("%s: %v", r.Why, err)
			}
		})
	}
}

func TestSecretsStayOut(t *testing.T) {
	addr, stop, err := answering("-WRONGPASS sesame is wrong\r\n")(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	v := newCheck().Checker().Probe(ctx, sdk.Target{Addr: addr, Network: "tcp"}, sdk.Options{"login": "me", "passwd": "sesame"})
	if all := fmt.Sprint(v); v.Code != sdk.CodeAuth || strings.Contains(all, "sesame") || !strings.Contains(v.Transcript, "AUTH me ***") {
		t.Errorf("got %s", all)
	}
}
