package notify

import (
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

// maxAnswer bounds what a mail server may say in one session, in bytes.
const maxAnswer = 256 << 10

// envelope is a mail on its way to a mail server.
type envelope struct {
	server  string // host or host:port
	host    string // ours
	from    string
	to      []string // those that have not got it yet
	text    []byte
	noTLS   bool    // the server's TLS does not work
	refused []error // for good, of recipients that are not in to any more
}

// send tries once. Recipients that the server refuses for good do not keep others from
// getting the mail, nor do those that it refuses for now, which stay for the next try.
func (e *envelope) send(ctx context.Context) error {
	err := e.session(ctx)
	if errors.Is(err, errTLS) {
		e.noTLS = true
		err = e.session(ctx)
	}
	if err == nil && len(e.to) == 0 && len(e.refused) > 0 {
		err = fmt.Errorf("%w: %w", errFinal, errors.Join(e.refused...))
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
		if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
			return fmt.Errorf("%w: %w", errTLS, err)
		}
	}
	return e.transact(c)
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
	if err := c.Mail(e.from); err != nil {
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
	e.to, e.refused = later, append(e.refused, refused...)
	_ = c.Quit() // the mail is theirs, or nobody's: nothing hangs on a farewell
	return why
}

func (e *envelope) data(c *smtp.Client) error {
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(e.text); err != nil {
		return err
	}
	return w.Close()
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
