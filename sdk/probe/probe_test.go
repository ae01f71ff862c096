package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// serve answers each connection to a loopback address with f until the test ends.
func serve(t *testing.T, f func(net.Conn)) sdk.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	return sdk.Target{Addr: netip.MustParseAddrPort(l.Addr().String()), Network: "tcp"}
}

func TestJudge(t *testing.T) {
	dial := func(err error) error {
		return &dialError{netip.MustParseAddrPort("192.0.2.1:80"), &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}}
	}
	read := func(err error) error {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	}
	for _, c := range []struct {
		err    error
		status sdk.Status
		code   sdk.Code
		reason string
	}{
		{dial(syscall.ECONNREFUSED), sdk.StatusDown, sdk.CodeRefused, "connect to 192.0.2.1:80: connection refused"},
		{dial(syscall.ECONNRESET), sdk.StatusDown, sdk.CodeRefused, "connect to 192.0.2.1:80: connection reset by peer"},
		{dial(syscall.ENETUNREACH), sdk.StatusDown, sdk.CodeUnreachable, "connect to 192.0.2.1:80: network is unreachable"},
		{dial(syscall.EHOSTUNREACH), sdk.StatusDown, sdk.CodeUnreachable, "connect to 192.0.2.1:80: no route to host"},
		{dial(syscall.ETIMEDOUT), sdk.StatusDown, sdk.CodeL4Timeout, "no connection to 192.0.2.1:80 before the deadline"},
		{dial(context.DeadlineExceeded), sdk.StatusDown, sdk.CodeL4Timeout, "no connection to 192.0.2.1:80 before the deadline"},
		{dial(syscall.EMFILE), sdk.StatusUnknown, sdk.CodeFault, "connect to 192.0.2.1:80: too many open files"},
		{dial(syscall.ENFILE), sdk.StatusUnknown, sdk.CodeFault, ""},
		{dial(syscall.ENOBUFS), sdk.StatusUnknown, sdk.CodeFault, ""},
		{dial(syscall.ENOMEM), sdk.StatusUnknown, sdk.CodeFault, ""},
		{dial(syscall.EADDRNOTAVAIL), sdk.StatusUnknown, sdk.CodeFault, ""},
		{dial(syscall.EACCES), sdk.StatusUnknown, sdk.CodeFault, ""},
		{dial(syscall.EPERM), sdk.StatusUnknown, sdk.CodeFault, "connect to 192.0.2.1:80: operation not permitted"},
		{dial(syscall.EAFNOSUPPORT), sdk.StatusUnknown, sdk.CodeFault, ""},
		{read(syscall.ECONNRESET), sdk.StatusDown, sdk.CodeClosed, "read: connection reset by peer"},
		{read(syscall.ECONNREFUSED), sdk.StatusDown, sdk.CodeRefused, "read: connection refused"}, // udp
		{read(os.ErrDeadlineExceeded), sdk.StatusDown, sdk.CodeTimeout, "not finished before the deadline"},
		{fmt.Errorf("write: %w", syscall.EPIPE), sdk.StatusDown, sdk.CodeClosed, "write: broken pipe"},
		{context.DeadlineExceeded, sdk.StatusDown, sdk.CodeTimeout, ""},
		{context.Canceled, sdk.StatusUnknown, sdk.CodeFault, "cancelled"},
		{fmt.Errorf("%w: %w", context.Canceled, read(syscall.ECONNRESET)), sdk.StatusUnknown, sdk.CodeFault, "cancelled"},
		{io.EOF, sdk.StatusDown, sdk.CodeClosed, "closed by the server without an answer"},
		{fmt.Errorf("login: %w", io.ErrUnexpectedEOF), sdk.StatusDown, sdk.CodeClosed, "login: unexpected EOF"},
		{&HandshakeError{io.EOF}, sdk.StatusDown, sdk.CodeTLS, "TLS handshake: closed by the server"},
		{&HandshakeError{read(syscall.ECONNRESET)}, sdk.StatusDown, sdk.CodeTLS, "TLS handshake: connection reset by peer"},
		{&HandshakeError{read(os.ErrDeadlineExceeded)}, sdk.StatusDown, sdk.CodeTimeout, "TLS handshake not finished before the deadline"},
		{tls.RecordHeaderError{Msg: "odd"}, sdk.StatusDown, sdk.CodeTLS, ""},
		{x509.UnknownAuthorityError{}, sdk.StatusDown, sdk.CodeTLS, ""},
		{&net.DNSError{Err: "no such host", Name: "db", IsNotFound: true}, sdk.StatusDown, sdk.CodeResolve, "no such host: db"},
		{&net.DNSError{Err: "server misbehaving", Name: "db", IsTemporary: true}, sdk.StatusUnknown, sdk.CodeResolve, "resolve db: server misbehaving"},
		{&net.DNSError{Err: "i/o timeout", Name: "db", IsTimeout: true}, sdk.StatusUnknown, sdk.CodeResolve, ""},
		{&fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, sdk.StatusUnknown, sdk.CodeFault, ""},
		{net.ErrClosed, sdk.StatusUnknown, sdk.CodeFault, ""},
		{net.UnknownNetworkError("sctp"), sdk.StatusUnknown, sdk.CodeFault, ""},
		{ErrTooLong, sdk.StatusDown, sdk.CodeProtocol, "too long"},
		{errors.New("greeting 500"), sdk.StatusDown, sdk.CodeProtocol, "greeting 500"},
		{nil, sdk.StatusUnknown, sdk.CodeFault, ""},
	} {
		v := Judge(c.err)
		if v.Status != c.status || v.Code != c.code || c.reason != "" && v.Reason != c.reason || v.Reason == "" {
			t.Errorf("%v: %s %s %q, want %s %s %q", c.err, v.Status, v.Code, v.Reason, c.status, c.code, c.reason)
		}
	}
}

// Whatever the connection is doing, the context's end ends it, early deadlines of the caller
// notwithstanding; a cancelled one is told from one that ran out.
func TestConnIsBounded(t *testing.T) {
	for name, use := range map[string]func(*Conn) error{
		"read":  func(c *Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"write": func(c *Conn) error { _, err := c.Write(make([]byte, 1)); return err },
		"read, no deadline": func(c *Conn) error {
			c.SetDeadline(time.Time{})
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"read, late deadline": func(c *Conn) error {
			c.SetReadDeadline(time.Now().Add(time.Hour))
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"read, deadline set when it was over": func(c *Conn) error {
			<-c.ctx.Done()
			synctest.Wait()
			c.SetDeadline(time.Now().Add(time.Hour))
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"write, late deadline": func(c *Conn) error {
			c.SetWriteDeadline(time.Now().Add(time.Hour))
			_, err := c.Write(make([]byte, 1))
			return err
		},
	} {
		for _, cancelled := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				want, after := "l7-timeout", time.Minute
				if cancelled {
					time.AfterFunc(time.Second, cancel)
					want, after = "fault", time.Second
				}
				c := Bind(ctx, near)
				defer c.Close()
				begun := time.Now()
				if v := Judge(use(c)); string(v.Code) != want || time.Since(begun) != after {
					t.Errorf("%s: %s after %v, want %s after %v", name, v.Code, time.Since(begun), want, after)
				}
			})
		}
	}
}

func TestConnEarlierDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := Bind(ctx, near)
		defer c.Close()
		begun := time.Now()
		c.SetReadDeadline(begun.Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestFirstLine(t *testing.T) {
	for _, c := range []struct{ sent, want, reason string }{
		{"220 here\r\n250 more\r\n", "220 here", ""},
		{"220\n", "220", ""},
		{"\n", "", ""},
		{"220 he", "", `line begun with "220 he": unexpected EOF`},
		{"", "", "closed by the server without an answer"},
		{strings.Repeat("x", 2*MaxLine), "", `line begun with "` + strings.Repeat("x", 40) + `": too long`},
		{strings.Repeat("x", MaxLine-1) + "\n", strings.Repeat("x", MaxLine-1), ""},
	} {
		target := serve(t, func(conn net.Conn) {
			for b := []byte(c.sent); len(b) > 0; { // in pieces
				n, err := conn.Write(b[:min(len(b), 1000)])
				if err != nil {
					return
				}
				b = b[n:]
			}
		})
		line, err := FirstLine(t.Context(), target)
		if line != c.want || (err != nil) != (c.reason != "") {
			t.Errorf("%.20q: %q, %v", c.sent, line, err)
		}
		if err != nil && Judge(err).Reason != c.reason {
			t.Errorf("%.20q: %+v", c.sent, Judge(err))
		}
	}
}

func TestReadAll(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
		cut  bool
	}{{"", "", false}, {"abc", "abc", false}, {"abcd", "abcd", false}, {"abcde", "abcd", true}} {
		got, cut, err := ReadAll(strings.NewReader(c.in), 4)
		if string(got) != c.want || cut != c.cut || err != nil {
			t.Errorf("%q: %q %v %v", c.in, got, cut, err)
		}
	}
	got, _, err := ReadAll(io.MultiReader(strings.NewReader("ab"), &failing{}), 4)
	if string(got) != "ab" || err != syscall.ECONNRESET {
		t.Errorf("%q %v", got, err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, syscall.ECONNRESET }

func TestDialUDP(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target := sdk.Target{Addr: netip.MustParseAddrPort(l.LocalAddr().String()), Network: "udp"}
	c, err := Dial(t.Context(), target, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "ping")
	buf := make([]byte, 8)
	if n, _, err := l.ReadFrom(buf); string(buf[:n]) != "ping" || err != nil {
		t.Errorf("%q %v", buf[:n], err)
	}
}

func TestResolve(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	for _, host := range []string{"127.0.0.1", "::ffff:127.0.0.1"} {
		if a, err := Resolve(t.Context(), host, v6, nil); a != v4 || err != nil {
			t.Errorf("%s: %v %v", host, a, err)
		}
	}
	tr := NewTrace()
	if a, err := Resolve(t.Context(), "localhost", v4, tr); a != v4 || err != nil {
		t.Errorf("localhost: %v %v", a, err)
	}
	if v := tr.Finish(sdk.Up()); len(v.Phases) != 2 || v.Phases[0].Name != "resolve" {
		t.Errorf("%v", v.Phases)
	}
}

func TestTrace(t *testing.T) {
	tr := NewTrace()
	tr.Secret("hunter2")
	tr.Secret("")
	tr.Phase("connect")
	tr.Sent([]byte("USER root\r\nPASS hunter2\r\n"))
	tr.Received([]byte("-ERR \x1b[31m\xff hunter2\n"))
	tr.Received(nil)
	tr.Note("try %d", 2)
	v := tr.Finish(sdk.Down("said %q", "no hunter2"))
	if want := "> USER root\n> PASS ***\n< -ERR \\x1b[31m\\xff ***\n* try 2"; v.Transcript != want {
		t.Errorf("transcript:\n%s\nwant:\n%s", v.Transcript, want)
	}
	if v.Reason != `said "no ***"` || tr.Redact("hunter2!") != "***!" {
		t.Errorf("reason %q", v.Reason)
	}
	if len(v.Phases) != 2 || v.Phases[0].Name != "connect" || v.Phases[1].Name != "total" {
		t.Errorf("phases %v", v.Phases)
	}
	var none *Trace
	none.Phase("x")
	none.Secret("x")
	none.Sent([]byte("x"))
	none.Note("x")
	if v := none.Finish(sdk.Down("x")); v.Reason != "x" || none.Redact("x") != "x" {
		t.Errorf("nil trace: %+v", v)
	}
}

func TestTraceIsBounded(t *testing.T) {
	tr := NewTrace()
	tr.Secret(strings.Repeat("s", 50))
	// The secret lies across the bound of an entry.
	tr.Received([]byte(strings.Repeat("a", maxEntry-20) + strings.Repeat("s", 50) + strings.Repeat("b", 1<<20)))
	for range 100 {
		tr.Sent([]byte(strings.Repeat("line\n", 1000)))
		tr.Phase("x")
	}
	v := tr.Finish(sdk.Up())
	if n := len(v.Transcript); n > maxTranscript+100 || !strings.HasSuffix(v.Transcript, "the rest is left out") {
		t.Errorf("%d bytes, ends in %q", n, v.Transcript[n-40:])
	}
	if strings.Contains(v.Transcript, "ss") || !strings.Contains(v.Transcript, "***") {
		t.Error("half a secret escaped")
	}
	if n := len(v.Phases); n != maxPhases+1 || v.Phases[n-1].Name != "total" {
		t.Errorf("%d phases", n)
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		`plain "text" \n ü €`:      `plain "text" \n ü €`,
		"a\r\nb\tc\x00\x7f":        `a\r\nb\tc\x00\x7f`,
		"\x1b]0;title\a":           `\x1b]0;title\a`,
		"\xe9t\xe9":                `\xe9t\xe9`,
		"rtl \u202e \u0085 \u2028": `rtl \u202e \u0085 \u2028`,
	} {
		if got := Escape(in); got != want || Escape(got) != got {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTLSOptionsValidate(t *testing.T) {
	ca := CAFile{pool: x509.NewCertPool()}
	for _, o := range []TLSOptions{{}, {Verify: true}, {Verify: true, CA: ca}} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	wrong, ok := errors.AsType[*sdk.OptionError](TLSOptions{CA: ca}.Validate())
	if !ok || wrong.Option != "tls-ca" {
		t.Errorf("authorities that verify nothing: %v", wrong)
	}
}

func TestFailedAs(t *testing.T) {
	want := sdk.Unknown("no room")
	if got := Judge(fmt.Errorf("in front: %w", FailedAs(want))); got.Status != want.Status || got.Reason != want.Reason || got.Code != want.Code {
		t.Errorf("%+v", got)
	}
}

func TestCAFromPEM(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	target := sdk.Target{Network: "tcp", Addr: netip.MustParseAddrPort(server.Listener.Addr().String())}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ca, err := CAFromPEM(text)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := TLSOptions{Verify: true, CA: ca}.Dial(t.Context(), target, "example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := (TLSOptions{Verify: true}).Dial(t.Context(), target, "example.com", nil); Judge(err).Code != sdk.CodeTLS {
		t.Errorf("without its authority: %v", err)
	}
	if _, err := CAFromPEM([]byte("no")); err == nil {
		t.Error("no certificate is one")
	}
}

func TestExpiryNote(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]string{
		-time.Hour:          "certificate expired on 2026-11-22",
		time.Hour:           "certificate expires in 0 days, on 2026-11-22",
		13 * 24 * time.Hour: "certificate expires in 13 days, on 2026-12-05",
		15 * 24 * time.Hour: "",
	} {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: now.Add(left)}}}
		if got := ExpiryNote(state, now); got != want {
			t.Errorf("%v: %q, want %q", left, got, want)
		}
	}
	if got := ExpiryNote(tls.ConnectionState{}, now); got != "" {
		t.Errorf("no certificate: %q", got)
	}
}

// A server that answers the first offer with an alert gets a second one, with
// post-quantum key exchanges; one that does so again, no third.
func TestTLSSecondOffer(t *testing.T) {
	var offers int
	target := serve(t, func(c net.Conn) {
		offers++
		server := tls.Server(c, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			hasPQ := false
			for _, curve := range hello.SupportedCurves {
				hasPQ = hasPQ || curve == tls.X25519MLKEM768
			}
			if hasPQ != (offers == 2) {
				t.Errorf("offer %d: curves %v", offers, hello.SupportedCurves)
			}
			return nil, errors.New("no")
		}})
		server.Handshake()
		io.Copy(io.Discard, bufio.NewReader(c))
	})
	_, err := TLSOptions{}.Dial(t.Context(), target, "", NewTrace())
	if v := Judge(err); v.Code != sdk.CodeTLS || offers != 2 {
		t.Errorf("%+v after %d offers", v, offers)
	}
}
