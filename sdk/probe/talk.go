package probe

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Failed is an error that knows its verdict: Judge makes of it Down with this code and the text,
// a format and its arguments as for fmt.Sprintf. Text of the server's in it should be bounded
// (see Brief).
func Failed(code sdk.Code, format string, args ...any) error {
	return &failure{sdk.DownWith(code, format, args...)}
}

// FailedAs is an error of which Judge makes v.
func FailedAs(v sdk.Verdict) error { return &failure{v} }

type failure struct{ verdict sdk.Verdict }

func (f *failure) Error() string { return f.verdict.Reason }

// maxBrief is how many bytes of a server's line a reason has room for.
const maxBrief = 120

// Brief is a server's line, escaped, without what makes it too long for a reason.
func Brief(line string) string {
	if len(line) > maxBrief {
		return Escape(line[:maxBrief]) + "..."
	}
	return Escape(line)
}

// Talk is a conversation in lines, such as SMTP, POP3 and NNTP have. It is for one goroutine.
type Talk struct {
	conn net.Conn
	in   *bufio.Reader
	tr   *Trace
}

// NewTalk begins a conversation over conn. tr, which may be nil, records it.
func NewTalk(conn net.Conn, tr *Trace) *Talk {
	return &Talk{conn: conn, in: bufio.NewReaderSize(conn, MaxLine), tr: tr}
}

// Line reads the server's next line; its errors are those of ReadLine.
func (t *Talk) Line() (string, error) {
	line, err := ReadLine(t.in)
	if err == nil {
		t.tr.Received([]byte(line))
	}
	return line, err
}

// Say sends one line, to which it adds CR LF. Line ends inside it are an error: what is
// configured must not become a command of its own.
func (t *Talk) Say(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if strings.ContainsAny(line, "\r\n\x00") {
		return &failure{sdk.Unknown("a line end or a zero byte in what is to be sent")}
	}
	t.tr.Sent([]byte(line))
	_, err := t.conn.Write([]byte(line + "\r\n"))
	return err
}

// farewell is how long Bye waits for the server to take leave, too.
const farewell = 300 * time.Millisecond

// Bye sends a last line, such as QUIT, waits a moment for its answer, so that no server sees a reset, and closes.
// What it comes to does not matter.
func (t *Talk) Bye(line string) {
	if t.Say("%s", line) == nil && t.conn.SetReadDeadline(time.Now().Add(farewell)) == nil {
		_, _ = t.Line()
	}
	_ = t.conn.Close()
}

// Close ends the conversation without a word.
func (t *Talk) Close() error { return t.conn.Close() }

// Plain gives the connection back for a TLS handshake on it (STARTTLS). What the server said
// ahead of that is an error: it would count as said under TLS (RFC 3207, 6; RFC 2595, 4).
func (t *Talk) Plain() (net.Conn, error) {
	if t.in.Buffered() > 0 {
		return nil, Failed(sdk.CodeProtocol, "the server went on in plain text after it had agreed to TLS")
	}
	return t.conn, nil
}

// ExpiryNote is that of the conversation's certificate; empty without TLS.
func (t *Talk) ExpiryNote(now time.Time) string {
	if conn, ok := t.conn.(*tls.Conn); ok {
		return ExpiryNote(conn.ConnectionState(), now)
	}
	return ""
}

// WithNote puts a note behind the reason of v; an empty one changes nothing.
func WithNote(v sdk.Verdict, note string) sdk.Verdict {
	switch {
	case note == "":
	case v.Reason == "":
		v.Reason = note
	default:
		v.Reason += "; " + note
	}
	return v
}

// failed finds the verdict of an error that knows its own.
func failed(err error) (sdk.Verdict, bool) {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.verdict, true
	}
	return sdk.Verdict{}, false
}
