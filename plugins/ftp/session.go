package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"

	"github.com/jlaffaye/ftp"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// session is one probe under way.
type session struct {
	ctx     context.Context
	target  sdk.Target
	o       options
	tr      *probe.Trace
	share   *probe.Share
	control *control   // nil until it is connected
	data    []net.Conn // what was opened beside it
}

func (s *session) run() sdk.Verdict {
	defer s.close()
	v, err := s.look()
	if err != nil {
		return probe.Judge(err)
	}
	if v.Status == sdk.StatusUp {
		s.control.bye()
	}
	return v
}

// look logs in, and fetches what there is to fetch.
func (s *session) look() (v sdk.Verdict, err error) {
	defer func() { // the library slices what the server sends without looking
		if p := recover(); p != nil {
			err = probe.Failed(sdk.CodeProtocol, "an answer that cannot be read: %v", p)
		}
	}()
	c, err := ftp.Dial(s.target.Addr.String(), ftp.DialWithDialFunc(s.dial), ftp.DialWithDisabledUTF8(true),
		ftp.DialWithDisabledEPSV(s.target.Addr.Addr().Unmap().Is4())) // PASV is what firewalls know
	if err != nil {
		return v, s.because("greeting", sdk.CodeStatus, err)
	}
	s.tr.Phase("greeting")
	if err := c.Login(s.o.Login, s.o.Passwd); err != nil {
		return v, s.because("login", sdk.CodeAuth, s.refusedUser(err))
	}
	s.tr.Phase("login")
	switch {
	case s.o.Request != "":
		return s.fetch(c)
	case s.o.Receive.Set():
		return sdk.DownWith(sdk.CodeMatch, "receive has nothing to match: there is no request"), nil
	}
	return sdk.Up(), nil
}

// fetch gets the file and looks at it.
func (s *session) fetch(c *ftp.ServerConn) (sdk.Verdict, error) {
	file, err := c.Retr(s.o.Request)
	if err != nil {
		return sdk.Verdict{}, s.because("request", sdk.CodeStatus, err)
	}
	text, cut, err := s.read(file)
	if err != nil {
		return sdk.Verdict{}, fmt.Errorf("after %d bytes of the file: %w", len(text), err)
	}
	if !cut { // or else there is more to come, which nobody waits for
		if err := complete(file.Close()); err != nil {
			return sdk.Verdict{}, s.because("transfer", sdk.CodeStatus, err)
		}
	}
	s.tr.Phase("transfer")
	s.tr.Note("%d bytes of the file", len(text))
	found, v := s.o.Receive.Matches(s.ctx, text)
	switch {
	case v != nil:
		return *v, nil
	case found:
		return sdk.Up(), nil
	case cut:
		return sdk.DownWith(sdk.CodeMatch, "receive does not match the first %d bytes of the file", len(text)), nil
	}
	return sdk.DownWith(sdk.CodeMatch, "receive does not match the file of %d bytes", len(text)), nil
}

// firstPiece is how much of a file is read at first; the room for it doubles as it is used up.
const firstPiece = 8 << 10

// read reads the file up to max-body; cut says that there is more.
func (s *session) read(file io.Reader) (text []byte, cut bool, err error) {
	for {
		if len(text) == cap(text) {
			size := min(max(2*cap(text), firstPiece), s.o.MaxBody+1)
			if err := s.share.Grow(s.ctx, size-cap(text)); err != nil {
				return text, false, err
			}
			text = append(make([]byte, 0, size), text...)
		}
		n, err := file.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case len(text) > s.o.MaxBody:
			return text[:s.o.MaxBody], true, nil
		case err == io.EOF:
			return text, false, nil
		case err != nil:
			return text, false, err
		}
	}
}

// complete is nil for 250, too, which says as well as 226 that the file is whole (RFC 959, 5.4).
func complete(err error) error {
	if reply, ok := errors.AsType[*textproto.Error](err); ok && reply.Code == 250 {
		return nil
	}
	return err
}

// refusedUser is the error of a login with its code, where the library leaves that out: of an answer to
// USER that is neither 230 nor 331 it gives back the bare text.
func (s *session) refusedUser(err error) error {
	_, whole := errors.AsType[*textproto.Error](err)
	_, bad := errors.AsType[textproto.ProtocolError](err)
	if whole || bad || s.control.failed != nil || errors.Unwrap(err) != nil || probe.Judge(err).Code != sdk.CodeProtocol {
		return err
	}
	return &textproto.Error{Code: s.control.code(), Msg: err.Error()}
}

// because gives an answer of the server's that says no the code that it has at this point, and words it.
func (s *session) because(what string, code sdk.Code, err error) error {
	if s.control != nil && s.control.failed != nil {
		err = s.control.failed
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		if reply.Code/100 == 4 { // it cannot now, whoever asks (RFC 959, 4.2.1)
			code = sdk.CodeStatus
		}
		return probe.Failed(code, "%s: the server answers \"%d %s\"", what, reply.Code, probe.Brief(reply.Msg))
	}
	if bad, ok := errors.AsType[textproto.ProtocolError](err); ok {
		return probe.Failed(sdk.CodeProtocol, "%s: no answer in the FTP protocol: %s", what, probe.Brief(string(bad)))
	}
	if errors.Is(err, io.EOF) && what != "greeting" {
		return fmt.Errorf("%s: %w", what, io.ErrUnexpectedEOF)
	}
	return err
}

// dial connects to the server: first to its port, then to those that it names for data. It may name a port,
// but no other address: the director would connect to anybody for it.
func (s *session) dial(_, address string) (net.Conn, error) {
	if s.control == nil {
		conn, err := probe.Dial(s.ctx, s.target, s.tr)
		if err != nil {
			return nil, err
		}
		s.control = newControl(conn, s.tr)
		return s.control, nil
	}
	_, name, err := net.SplitHostPort(address)
	port, bad := strconv.ParseUint(name, 10, 16)
	if err != nil || bad != nil || port == 0 {
		return nil, probe.Failed(sdk.CodeProtocol, "the server names the port %s for data", probe.Brief(name))
	}
	to := s.target
	to.Addr = netip.AddrPortFrom(to.Addr.Addr(), uint16(port))
	conn, err := probe.Dial(s.ctx, to, nil)
	s.tr.Note("connects to port %d for data", port)
	if err == nil {
		s.data = append(s.data, conn)
	}
	return conn, err
}

func (s *session) close() {
	for _, conn := range s.data {
		_ = conn.Close()
	}
	if s.control != nil {
		_ = s.control.Close()
	}
}
