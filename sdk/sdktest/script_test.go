package sdktest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// meet starts a scripted server and connects to it.
func meet(t *testing.T, s *script) func() net.Conn {
	t.Helper()
	addr, stop, err := s.server()(v4())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return func() net.Conn {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func parsed(t *testing.T, text string, config *tls.Config) *script {
	t.Helper()
	s, err := newScript(text, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScriptSays(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"nothing":        {"", ""},
		"send":           {`send "220 ready\r\n"`, "220 ready\r\n"},
		"repeat":         {"repeat 3 \"ab\"\nsend \"c\"", "abababc"},
		"drip":           {`drip 1ms "slow"`, "slow"},
		"its address":    {`send "{host}"`, "127.0.0.1"},
		"up to close":    {"send \"a\"\nclose\nsend \"b\"", "a"},
		"blanks, indent": {"\n  send \"a\"  \n\n", "a"},
	} {
		all, err := io.ReadAll(meet(t, parsed(t, test.script, nil))())
		if string(all) != test.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, all, err, test.want)
		}
	}
}

func TestScriptListens(t *testing.T) {
	s := parsed(t, "line\nsend \"331\\n\"\nread 2\nsend \"230\\n\"\nend\nsend \"bye\"", nil)
	c := meet(t, s)()
	if _, err := io.WriteString(c, "USER me\nxyz"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if string(all) != "331\n230\nbye" || err != nil {
		t.Errorf("got %q, %v", all, err)
	}
	if got := s.received(); got != "USER me\nxyz" {
		t.Errorf("it received %q", got)
	}
}

// A further connection gets the next part of the script, and the last part after that.
func TestScriptForEachConnection(t *testing.T) {
	dial := meet(t, parsed(t, "send \"one\"\n---\nsend \"two\"", nil))
	for _, want := range []string{"one", "two", "two"} {
		if got, err := io.ReadAll(dial()); string(got) != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestScriptResets(t *testing.T) {
	c := meet(t, parsed(t, "line\nreset", nil))()
	if _, err := io.WriteString(c, "go\n"); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadAll(c)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

func TestScriptHolds(t *testing.T) {
	c := meet(t, parsed(t, "send \"a\"\nhold", nil))()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var late net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("got %v", err)
	}
}

// TLS may begin in the middle, as STARTTLS has it, with its first bytes read already.
func TestScriptTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	defer web.Close()
	s := parsed(t, "line\ntls\nsend \"220 safe\"\nline", &tls.Config{Certificates: web.TLS.Certificates})
	c := tls.Client(&eager{meet(t, s)(), "STARTTLS\n"}, &tls.Config{InsecureSkipVerify: true})
	got := make([]byte, 8)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "220 safe" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := io.WriteString(c, "QUIT\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(c) // until it has heard that
	if got := s.received(); got != "STARTTLS\nQUIT\n" {
		t.Errorf("it received %q", got)
	}
}

// eager sends its head together with the first bytes of the handshake.
type eager struct {
	net.Conn
	head string
}

func (e *eager) Write(p []byte) (int, error) {
	both := append([]byte(e.head), p...)
	head := len(e.head)
	e.head = ""
	n, err := e.Conn.Write(both)
	return max(n-head, 0), err
}

func TestScriptIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		"shout":             `unknown step "shout"`,
		"send ready":        "invalid syntax",
		`repeat many "a"`:   "invalid syntax",
		`drip slowly "a"`:   "invalid duration",
		"line\ntls\n":       "there is no tls.Config",
		"line\n---\nwhat\n": `unknown step "what"`,
	} {
		_, stop, err := Script(text, nil)(v4())
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %q", text, err, says)
		}
		if stop != nil {
			t.Errorf("%q: there is something to stop", text)
		}
	}
}

func TestFill(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:80":     "127.0.0.1:80 127.0.0.1 80",
		"[2001:db8::1]:80": "[2001:db8::1]:80 [2001:db8::1] 80",
	} {
		if got := fill("{addr} {host} {port}", addr); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
