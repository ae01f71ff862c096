package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// The bounds of a session with a mail server, beside that of a try.
const (
	maxAnswer = 256 << 10        // bytes that it may say
	tlsLimit  = 15 * time.Second // for TLS to be agreed on, so that there is time left to do without
	quitLimit = 2 * time.Second  // for a farewell
	maxUnsure = 3                // times that a mail is sent, of which the server does not say whether it has it
)

// envelope is a mail on its way to a mail server.
type envelope struct {
	server  string // host or host:port
	host    string // ours
	from    string
	to      []string // those that have not got it yet
	text    []byte
	noTLS   bool    // the server's TLS does not work
	got     bool    // somebody has it
	refused []error // for good, of recipients that are not in to any more
	unsure  int     // how often the mail was sent, and the server did not say whether it has it

	// later takes those that the server refuses for now while others get the mail: they are not to wait.
	later func(to []string)
}

// send tries once. Recipients that the server refuses for good do not keep others from
// getting the mail, nor do those that it refuses for now.
func (e *envelope) send(ctx context.Context) error {
	err := e.session(ctx)
	if errors.Is(err, errTLS) {
		err = e.plainly(ctx, err)
	}
	if err == nil && len(e.refused) > 0 {
		kind := errFinal
		if e.got {
			kind = errPartly
		}
		err = fmt.Errorf("%w: %w", kind, errors.Join(e.refused...))
	}
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		err = words(answer)
		if answer.Code >= 500 {
			err = fmt.Errorf("%w: %w", errFinal, err)
		}
	}
	if err != nil {
		return fmt.Errorf("smtp %s: %w", e.server, err)
	}
	return nil
}

// mustTLS is the answer of a server that takes no mail without TLS (RFC 3207).
const mustTLS = 530

// plainly tries without the TLS that failed. A server that insists on it may be able to do it another time.
func (e *envelope) plainly(ctx context.Context, failed error) error {
	e.noTLS = true
	err := e.session(ctx)
	if answer, ok := errors.AsType[*textproto.Error](err); ok && answer.Code == mustTLS {
		e.noTLS = false
		return failed
	}
	return err
}

// words are what a server answered, fit to be shown.
func words(answer *textproto.Error) error {
	return fmt.Errorf("%d %s", answer.Code, printable(answer.Msg, maxText))
}

// errTLS is a server that offers TLS and then cannot do it.
var errTLS = errors.New("starttls")

func (e *envelope) session(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", e.addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c, err := smtp.NewClient(&listener{conn, maxAnswer}, e.addr())
	if err != nil {
		return err
	}
	if err := c.Hello(e.host); err != nil {
		return err
	}
	if offered, _ := c.Extension("STARTTLS"); offered && !e.noTLS {
		// Like all mail between servers: against listeners, not against forgers.
		err := soon(ctx, conn, tlsLimit, func() error { return c.StartTLS(&tls.Config{InsecureSkipVerify: true}) })
		if answer, ok := errors.AsType[*textproto.Error](err); ok {
			err = words(answer)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errTLS, err)
		}
	}
	err = e.transact(c)
	if err == nil { // the mail is theirs, or nobody's: nothing hangs on a farewell
		_ = soon(ctx, conn, quitLimit, c.Quit)
	}
	return err
}

// soon does what talks over conn, within a limit of its own as well as that of ctx.
func soon(ctx context.Context, conn net.Conn, limit time.Duration, do func() error) error {
	_ = conn.SetDeadline(time.Now().Add(limit))
	if err := ctx.Err(); err != nil { // else its end sets the deadline after us
		return err
	}
	err := do()
	_ = conn.SetDeadline(time.Time{})
	return cmp.Or(err, ctx.Err())
}

// addr is the server with a port.
func (e *envelope) addr() string {
	if _, _, err := net.SplitHostPort(e.server); err == nil {
		return e.server
	}
	return net.JoinHostPort(strings.Trim(e.server, "[]"), "25")
}

// transact hands the mail over for those recipients that the server accepts.
func (e *envelope) transact(c *smtp.Client) error {
	if err := e.mail(c); err != nil {
		return err
	}
	var later []string
	var refused []error
	var why error
	accepted := 0
	for _, to := range e.to {
		err := c.Rcpt(to)
		answer, known := errors.AsType[*textproto.Error](err)
		switch {
		case err == nil:
			accepted++
		case known && answer.Code < 500:
			later, why = append(later, to), err
		case known:
			refused = append(refused, fmt.Errorf("%s refused: %w", printable(to, maxText), words(answer)))
		default:
			return err
		}
	}
	if accepted > 0 {
		if err := e.data(c); err != nil {
			return err
		}
	}
	e.refused = append(e.refused, refused...)
	if accepted == 0 {
		e.to = later
		return why
	}
	e.to, e.got = nil, true
	if len(later) > 0 {
		e.later(later)
	}
	return nil
}

// mail begins. What is sent is ASCII, so that nothing is asked of the server that it, or one behind it, might
// not be able to do; but for addresses that need it.
func (e *envelope) mail(c *smtp.Client) error {
	command := "MAIL FROM:<" + e.from + ">"
	if able, _ := c.Extension("SMTPUTF8"); able && !ascii(e.from+strings.Join(e.to, "")) {
		command += " BODY=8BITMIME SMTPUTF8"
	}
	id, err := c.Text.Cmd("%s", command)
	if err != nil {
		return err
	}
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	_, _, err = c.Text.ReadResponse(2)
	return err
}

// data sends the text. Without an answer at its end nobody knows whether the server has it: it is sent again, but
// not for an hour.
func (e *envelope) data(c *smtp.Client) error {
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(e.text); err != nil {
		return err
	}
	err = w.Close()
	if answer, ok := errors.AsType[*textproto.Error](err); ok || err == nil {
		if ok && answer.Code < 300 {
			return nil
		}
		return err
	}
	if e.unsure++; e.unsure >= maxUnsure {
		return fmt.Errorf("%w: it did not say whether it took the mail: %w", errFinal, err)
	}
	return err
}

// listener is a connection that says so much and no more.
type listener struct {
	net.Conn
	left int
}

func (l *listener) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := l.Conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
