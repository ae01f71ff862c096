package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

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
	if _, err := plainConfig(); err != nil {
		return sdk.Unknown("%v", err)
	}
	secure, err := s.attempt(s.o.StartTLS != "no")
	if s.o.StartTLS == "prefer" && s.ctx.Err() == nil && worthPlain(secure, err) {
		s.tr.Note("%s; once more without TLS", probe.Brief(err.Error()))
		_, plain := s.attempt(false)
		if !isForbidden(err) || !isForbidden(plain) { // else the first is the one to heed
			err = plain
		}
	}
	v := sdk.Up()
	if err != nil {
		v = probe.Judge(err)
	}
	return probe.WithNote(v, s.note)
}

// worthPlain says whether a server may be up without TLS, as libpq's sslmode = prefer has it: the handshake
// failed, the server knows no TLS at all, or it does not let this login in over it.
func worthPlain(secure bool, err error) bool {
	if _, ok := errors.AsType[*probe.HandshakeError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*declined](err); ok {
		return true
	}
	return secure && isForbidden(err)
}

// attempt is the whole dialogue, and says whether it was over TLS.
func (s *session) attempt(secure bool) (bool, error) {
	conn, err := s.open(secure)
	if err != nil {
		return secure, err
	}
	defer conn.Close()
	in := newStream(conn)
	_, plain := conn.(*probe.Conn)
	return !plain, s.ask(in)
}

// declined is a server's no to TLS.
type declined struct{ conn net.Conn } // where it goes on without; nil: it does not

func (d *declined) Error() string { return "the server does not offer TLS" }
func (d *declined) Unwrap() error { return probe.Failed(sdk.CodeStatus, "%s", d.Error()) }

// open connects, with TLS if secure and unless that is not required and declined.
func (s *session) open(secure bool) (net.Conn, error) {
	if !secure {
		conn, err := probe.Dial(s.ctx, s.target, s.tr)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	conn, err := s.o.Over(s.dialTLS, "", s.target.Addr.Addr(), s.tr)
	if no, ok := errors.AsType[*declined](err); ok && no.conn != nil {
		if s.o.StartTLS == "prefer" {
			return no.conn, nil
		}
		no.conn.Close()
	}
	if err != nil {
		return nil, err
	}
	s.note = probe.ExpiryNote(conn.ConnectionState(), time.Now())
	return conn, nil
}

// dialTLS connects up to the TLS handshake: an SSLRequest, and one byte of answer. Not a byte more is read: those
// that come ahead of TLS fail its handshake.
func (s *session) dialTLS() (net.Conn, error) {
	conn, err := probe.Dial(s.ctx, s.target, s.tr)
	if err != nil {
		return nil, err
	}
	const length, code = 8, 80877103
	var yes [1]byte
	_, err = conn.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, length), code))
	if err == nil {
		_, err = io.ReadFull(conn, yes[:])
	}
	s.tr.Phase("tls offer")
	switch {
	case err != nil:
	case yes[0] == 'S':
		return conn, nil
	case yes[0] == 'N':
		return nil, &declined{conn}
	case yes[0] == 'E':
		err = &declined{}
	default:
		err = nonsense("\"%s\" in answer to SSLRequest", probe.Brief(string(yes[:])))
	}
	conn.Close()
	return nil, err
}

// plainConfig is a Config that is pgconn's own, as it wants it to be, and that owes nothing to the environment:
// whatever it would take from there is given.
var plainConfig = sync.OnceValues(func() (*pgconn.Config, error) {
	return pgconn.ParseConfig("host=server port=5432 user=none password=none database=none passfile=/dev/null " +
		"servicefile=/dev/null connect_timeout=0 sslmode=disable sslcertmode=disable sslnegotiation=postgres " +
		"sslcert='' sslkey='' sslrootcert='' target_session_attrs=any min_protocol_version=3.0 " +
		"max_protocol_version=3.0 channel_binding=disable require_auth=''")
})

// config is built for a connection that is there already, and bounded by the probe's context.
func (s *session) config(in *stream) (*pgconn.Config, error) {
	base, err := plainConfig()
	if err != nil {
		return nil, err
	}
	c := base.Copy()
	c.Host, c.Port = s.target.Addr.Addr().String(), s.target.Addr.Port()
	c.User, c.Password, c.Database = s.o.Login, s.o.Passwd, s.o.Database
	c.RuntimeParams = map[string]string{"application_name": "ldirectord"}
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	dialled := false
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if dialled { // to cancel a query that failed
			return nil, errors.New("one connection is enough")
		}
		dialled = true
		return in, nil
	}
	return c, nil
}

// ask logs in and makes the query.
func (s *session) ask(in *stream) error {
	config, err := s.config(in)
	if err != nil {
		return err
	}
	// The stream's connection ends with s.ctx: pgconn's own watching would add nothing.
	conn, err := pgconn.ConnectConfig(context.Background(), config)
	s.tr.Phase("login")
	if err != nil {
		return explain(in, err)
	}
	defer finish(conn, in)
	s.tr.Note("server %s", probe.Brief(conn.ParameterStatus("server_version")))
	s.tr.Sent([]byte(s.o.Request))
	result := conn.Exec(context.Background(), s.o.Request)
	found, err := s.look(in, result)
	s.tr.Phase("query")
	switch {
	case err != nil:
		return explain(in, err)
	case !found:
		return probe.Failed(sdk.CodeStatus, "the query gives no row")
	}
	return nil
}

// farewell is how long the rest of a result is waited for.
const farewell = 300 * time.Millisecond

// look says whether there is a row, or one that was changed.
func (s *session) look(in *stream, result *pgconn.MultiResultReader) (found bool, err error) {
	for result.NextResult() {
		one := result.ResultReader()
		if one.NextRow() {
			s.tr.Note("a row of %d columns", len(one.FieldDescriptions()))
			in.leave()
			if in.SetReadDeadline(time.Now().Add(farewell)) == nil {
				_ = result.Close() // the verdict is there: what follows the row does not matter
			}
			return true, nil
		}
		if _, bigRow := in.ended(); bigRow {
			s.tr.Note("a row of more than %d bytes", maxMessage)
			return true, nil
		}
		if tag, err := one.Close(); err == nil && tag.RowsAffected() > 0 {
			s.tr.Note("%d rows changed", tag.RowsAffected())
			found = true
		}
	}
	return found, result.Close()
}

// finish ends the connection, and waits until pgconn has left it.
func finish(conn *pgconn.PgConn, in *stream) {
	if conn.IsClosed() {
		in.Close()
	} else {
		_ = conn.Close(context.Background()) // which takes leave
	}
	<-conn.CleanupDone()
}

// refused is an error that the server reports, with its SQLSTATE.
type refused struct {
	error
	state string
}

func (r *refused) Unwrap() error { return r.error }

// isForbidden says whether the server lets this login in in no case, or in none over this connection:
// invalid_authorization_specification.
func isForbidden(err error) bool {
	r, ok := errors.AsType[*refused](err)
	return ok && r.state == "28000"
}

// explain finds out what an error of pgconn's comes of.
func explain(in *stream, err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		code := sdk.CodeStatus
		if strings.HasPrefix(e.Code, "28") {
			code = sdk.CodeAuth
		}
		return &refused{probe.Failed(code, "error %s: \"%s\"", probe.Brief(e.Code), probe.Brief(e.Message)), e.Code}
	}
	if why, _ := in.ended(); why != nil {
		return why
	}
	return nonsense("%s", probe.Brief(cause(err).Error()))
}

// cause is the innermost reason of an error of pgconn's.
func cause(err error) error {
	for {
		var next error
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			next = e.Unwrap()[0]
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		}
		if next == nil {
			return err
		}
		err = next
	}
}
