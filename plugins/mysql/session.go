package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// session is one probe under way.
type session struct {
	ctx    context.Context
	target sdk.Target
	o      options
	tr     *probe.Trace
	note   string // on the certificate
}

func (s *session) run() sdk.Verdict {
	v := sdk.Up()
	g, err := s.open()
	if err == nil {
		defer g.Close()
		err = s.ask(g)
	}
	switch {
	case errors.Is(err, errAsked):
		v = sdk.Unknown("%v", err)
	case err != nil:
		v = probe.Judge(err)
	}
	return probe.WithNote(v, s.note)
}

// open connects up to the greeting, and puts TLS on the connection if that is asked for.
func (s *session) open() (*guard, error) {
	var greeted []byte
	var hello greeting
	var request []byte
	dial := func() (net.Conn, error) {
		conn, err := probe.Dial(s.ctx, s.target, s.tr)
		if err != nil {
			return nil, err
		}
		if greeted, hello, err = s.greet(conn); err == nil && s.o.StartTLS {
			request, err = s.requestTLS(conn, hello)
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
	if !s.o.StartTLS {
		conn, err := dial()
		if err != nil {
			return nil, err
		}
		return newGuard(conn, greeted, hello, nil), nil
	}
	conn, err := s.o.Over(dial, "", s.target.Addr.Addr(), s.tr)
	if err != nil {
		return nil, err
	}
	s.note = probe.ExpiryNote(conn.ConnectionState(), time.Now())
	return newGuard(conn, greeted, hello, request), nil
}

// greet reads the greeting and not a byte more: those that came ahead of TLS would fail its handshake.
func (s *session) greet(conn net.Conn) ([]byte, greeting, error) {
	p, err := readPacket(conn)
	s.tr.Phase("greeting")
	if large, ok := errors.AsType[*tooLarge](err); ok {
		return nil, greeting{}, nonsense("%v as a greeting", large)
	}
	if err != nil {
		return nil, greeting{}, err
	}
	if p[3] != 0 {
		return nil, greeting{}, nonsense("a greeting numbered %d", p[3])
	}
	hello, err := readGreeting(p[4:])
	if refused, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return nil, hello, refusal(refused)
	}
	if err == nil {
		s.tr.Note("server %s, %s", probe.Brief(hello.version), probe.Brief(hello.plugin))
	}
	return p, hello, err
}

func (s *session) requestTLS(conn net.Conn, hello greeting) ([]byte, error) {
	if hello.flags&canTLS == 0 {
		return nil, probe.Failed(sdk.CodeStatus, "the server does not offer TLS")
	}
	p := tlsRequest(hello, s.o.Database != "")
	_, err := conn.Write(p)
	return p, err
}

// config is built for a connection that is there already, and bounded by the probe's context.
func (s *session) config(g *guard) *mysql.Config {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = s.o.Login, s.o.Passwd, s.o.Database
	c.Addr = s.target.Addr.String()
	c.Net = "tcp"
	if g.request != nil {
		c.Net = "unix" // to the driver that means: nobody listens, a password may be sent
	}
	c.AllowCleartextPasswords = s.o.Cleartext || g.request != nil
	c.AllowOldPasswords = c.AllowCleartextPasswords
	c.ClientFoundRows = true // an UPDATE counts rows that are already what it makes of them
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:ldirectord"
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) { return g, nil }
	return c
}

// ask logs in and makes the query.
func (s *session) ask(g *guard) error {
	connector, err := mysql.NewConnector(s.config(g))
	if err != nil {
		return err
	}
	// The guard's connection ends with s.ctx: the driver's own watching would add nothing but a race
	// about which of the two is first.
	conn, err := connector.Connect(context.Background())
	s.tr.Phase("login")
	if err != nil {
		return explain(g, err)
	}
	defer conn.Close() // which takes leave
	return s.query(g, conn)
}

func (s *session) query(g *guard, conn driver.Conn) (err error) {
	defer func() {
		if p := recover(); p != nil { // the driver trusts in lengths inside of packets
			err = nonsense("a result that cannot be understood")
		}
	}()
	s.tr.Sent([]byte(s.o.Request))
	result, err := conn.(driver.QueryerContext).QueryContext(context.Background(), s.o.Request, nil)
	if err == nil {
		err = result.Next(make([]driver.Value, len(result.Columns())))
	}
	s.tr.Phase("query")
	switch {
	case err == nil:
		s.tr.Note("a row of %d columns", len(result.Columns()))
		leave(g, result)
		return nil
	case err == io.EOF && g.changed > 0:
		s.tr.Note("%d rows changed", g.changed)
		return nil
	case err == io.EOF && g.phase == rows && g.first != isSwitch:
		return nonsense("a row cut short")
	case err == io.EOF:
		return probe.Failed(sdk.CodeStatus, "the query gives no row")
	case result != nil && g.bigRow:
		s.tr.Note("a row of more than %d bytes", maxPacket)
		return nil
	}
	return explain(g, err)
}

// farewell is how long the rest of a result is waited for.
const farewell = 300 * time.Millisecond

// leave reads the rest of a small result, so that the server sees no connection break.
func leave(g *guard, result driver.Rows) {
	defer func() { _ = recover() }() // the verdict is there: what follows the row does not matter
	g.left = maxRest
	if g.SetReadDeadline(time.Now().Add(farewell)) == nil {
		_ = result.Close()
	}
}

// refusal is an error that the server reports.
func refusal(e *mysql.MySQLError) error {
	code := sdk.CodeStatus
	if isLogin(e) {
		code = sdk.CodeAuth
	}
	return probe.Failed(code, "error %d: \"%s\"", e.Number, probe.Brief(e.Message))
}

// explain finds out what an error of the driver's comes of.
func explain(g *guard, err error) error {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return refusal(e)
	}
	if g.err != nil {
		return g.err
	}
	switch {
	case errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrOldPassword):
		return probe.Failed(sdk.CodeAuth, "the server wants %s, which needs starttls or cleartext", probe.Brief(g.plugin))
	case errors.Is(err, mysql.ErrUnknownPlugin):
		return probe.Failed(sdk.CodeAuth, "the server wants %s, which this check cannot do", probe.Brief(g.plugin))
	}
	return nonsense("%s", probe.Brief(err.Error()))
}
