package main

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sijms/go-ora/v2/network"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

// rightOptions are those that the stand-in lets in.
func rightOptions() sdk.Options {
	return sdk.Options{"login": "scott", "passwd": secret, "database": "ORCL", "request": "SELECT 1 FROM dual"}
}

func TestContract(t *testing.T) {
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"healthy": {Options: rightOptions(), Server: sdktest.TCP(standIn{login: "scott", rows: 1}.serve), Want: sdk.StatusUp},
		"refused": {Options: rightOptions(), Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"closing": {Options: rightOptions(), Server: sdktest.Closing(), Want: sdk.StatusDown, Code: sdk.CodeClosed},
	})
}

func TestOptions(t *testing.T) {
	for wrong, value := range map[string]string{
		"login": "", "request": "  ", "database-is": "tns", "database": "ORCL)(HOST=x",
	} {
		o := rightOptions()
		if o[wrong] = value; newCheck().Checker().Validate(t.Context(), "oracle", o) == nil {
			t.Errorf("%s = %q was accepted", wrong, value)
		}
	}
	for _, unneeded := range []string{"passwd", "database"} {
		o := rightOptions()
		delete(o, unneeded)
		if err := newCheck().Checker().Validate(t.Context(), "oracle", o); err != nil {
			t.Errorf("without %s: %v", unneeded, err)
		}
	}
}

// fake is a client without a network.
type fake struct {
	loginError, queryError error
	row                    bool
	panics, left           bool
}

func (f *fake) login() error { return f.loginError }

func (f *fake) query(string) (bool, error) {
	if f.panics {
		panic("index out of range")
	}
	return f.row, f.queryError
}

func (f *fake) logoff() { f.left = true }

// TestLogic tries the check's own decisions.
func TestLogic(t *testing.T) {
	ora := func(code int, text string) error { return &network.OracleError{ErrCode: code, ErrMsg: text} }
	for name, c := range map[string]struct {
		client fake
		wire   wire
		want   string
	}{
		"row":       {client: fake{row: true}, want: "up  "},
		"no row":    {want: "down l7-status the query gives no row"},
		"password":  {client: fake{loginError: ora(1017, "ORA-01017: no\nHelp")}, want: "down l7-auth ORA-01017: no"},
		"listener":  {client: fake{loginError: ora(12514, "")}, want: "down l7-status ORA-12514: the listener does not know this service"},
		"error":     {client: fake{queryError: ora(942, "ORA-00942: no \x1b[1m")}, want: `down l7-status ORA-00942: no \x1b[1m`},
		"number":    {client: fake{queryError: ora(600, "")}, want: "down l7-status ORA-00600"},
		"nonsense":  {client: fake{queryError: errors.New("message 77")}, want: "down l7-protocol message 77"},
		"panic":     {client: fake{panics: true}, wire: wire{received: 8}, want: "down l7-protocol an answer that makes no sense: index out of range"},
		"cut":       {client: fake{panics: true}, wire: wire{received: 8, err: context.DeadlineExceeded}, want: "down l7-timeout not finished before the deadline"},
		"cancelled": {client: fake{loginError: errors.New("x")}, wire: wire{err: context.Canceled}, want: "unknown fault cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			s := session{tr: probe.NewTrace(), dialer: &dialer{ctx: t.Context(), wires: []*wire{&c.wire}}}
			c.wire.Conn = unconnected(t)
			v := s.run(&c.client)
			if got := v.Status.String() + " " + string(v.Code) + " " + v.Reason; got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if over := c.client.loginError == nil && c.client.queryError == nil && !c.client.panics; c.client.left != over {
				t.Errorf("logged off: %v", c.client.left)
			}
		})
	}
}

// TestOwnPanic: as long as the server has said nothing, a panic is the check's own fault.
func TestOwnPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the panic was put down to the server")
		}
	}()
	s := session{tr: probe.NewTrace(), dialer: &dialer{ctx: t.Context()}}
	s.run(&fake{panics: true})
}

// unconnected is a connection that nobody uses.
func unconnected(t *testing.T) *probe.Conn {
	t.Helper()
	addr, stop, err := sdktest.Silent()(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	conn, err := probe.Dial(t.Context(), sdk.Target{Addr: addr, Network: "tcp"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// try probes a stand-in, and looks at verdict, reason and time. want is the status, the code, and text
// in the reason.
func try(t *testing.T, server sdktest.Server, o sdk.Options, deadline time.Duration, want string) {
	t.Helper()
	for _, host := range []string{"127.0.0.1", "::1"} {
		addr, stop, err := server(netip.MustParseAddr(host))
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		begun := time.Now()
		v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "oracle", Addr: addr, Network: "tcp"}, o)
		took := time.Since(begun)
		cancel()
		status, reason, _ := strings.Cut(want, ": ")
		if got := strings.TrimSpace(v.Status.String() + " " + string(v.Code)); got != status || !strings.Contains(v.Reason, reason) {
			t.Errorf("%s: %s: %s, want %s\n%s", host, got, v.Reason, want, v.Transcript)
		}
		if late := v.Code == sdk.CodeTimeout; late != (took >= deadline) || took > deadline+500*time.Millisecond {
			t.Errorf("%s: %s after %v with a deadline of %v", host, v.Code, took, deadline)
		}
		if o["passwd"] != "" && strings.Contains(v.Reason+v.Transcript, o["passwd"]) {
			t.Errorf("the password is shown:\n%s\n%s", v.Reason, v.Transcript)
		}
	}
}
