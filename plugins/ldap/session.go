package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// session is one probe under way.
type session struct {
	ctx    context.Context
	target sdk.Target
	o      options
	tr     *probe.Trace
}

func (s *session) run() sdk.Verdict {
	conn, err := s.open()
	if err != nil {
		return probe.Judge(err)
	}
	note := ""
	if secured, ok := conn.(*tls.Conn); ok {
		note = probe.ExpiryNote(secured.ConnectionState(), time.Now())
	}
	w := newWire(conn)
	client := ldap.NewConn(w, true)
	client.Start()
	v := s.ask(client, w)
	_ = client.Unbind() // an error means that the connection is ending already
	_ = client.Close()
	return probe.WithNote(v, note)
}

// open connects, with TLS where that is asked for.
func (s *session) open() (net.Conn, error) {
	switch {
	case s.target.Service == "ldaps":
		return opened(s.o.Dial(s.ctx, s.target, "", s.tr))
	case s.o.StartTLS:
		return opened(s.o.Over(s.startTLS, "", s.target.Addr.Addr(), s.tr))
	}
	return opened(probe.Dial(s.ctx, s.target, s.tr))
}

// opened makes no connection of a nil pointer to one.
func opened[C net.Conn](conn C, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// The messages of RFC 4511, 4.14.1 and 4.3, which the library says on connections of its own only.
const (
	startTLS = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
	unbind   = "\x30\x05\x02\x01\x02\x42\x00"
)

// startTLS connects and has the server agree to TLS.
func (s *session) startTLS() (net.Conn, error) {
	conn, err := probe.Dial(s.ctx, s.target, s.tr)
	if err != nil {
		return nil, err
	}
	s.tr.Note("StartTLS")
	w := newWire(conn)
	var answer *ber.Packet
	if _, err = w.Write([]byte(startTLS)); err == nil {
		_, answer, err = w.message()
	}
	s.tr.Phase("starttls")
	switch {
	case err != nil:
	case ldap.GetLDAPError(answer) != nil:
		err = refused("StartTLS", ldap.GetLDAPError(answer), sdk.CodeStatus)
		_, _ = conn.Write([]byte(unbind))
	case w.in.Buffered() > 0: // it would count as said under TLS
		err = probe.Failed(sdk.CodeProtocol, "the server went on in plain text after it had agreed to TLS")
	default:
		return conn, nil
	}
	_ = conn.Close()
	return nil, err
}

// ask binds and reads the entry.
func (s *session) ask(client *ldap.Conn, w *wire) sdk.Verdict {
	err := s.bind(client)
	s.tr.Phase("bind")
	if err != nil {
		return probe.Judge(explain("bind", err, w))
	}
	what := fmt.Sprintf("search of \"%s\"", s.o.Request)
	s.tr.Note("%s, scope base, filter (objectClass=*)", what)
	found, err := client.Search(ldap.NewSearchRequest(string(s.o.Request), ldap.ScopeBaseObject, ldap.DerefFindingBaseObj,
		0, 0, false, "(objectClass=*)", []string{"1.1"}, nil)) // 1.1: no attributes (RFC 4511, 4.5.1.8)
	s.tr.Phase("search")
	switch {
	case err != nil:
		return probe.Judge(explain(what, err, w))
	case len(found.Entries) == 0 && len(found.Referrals) > 0:
		return sdk.DownWith(sdk.CodeStatus, "%s: is elsewhere: \"%s\"", what, probe.Brief(found.Referrals[0]))
	case len(found.Entries) != 1:
		return sdk.DownWith(sdk.CodeStatus, "%s: %d entries instead of one", what, len(found.Entries))
	}
	name := found.Entries[0].DN
	s.tr.Note("found \"%s\"", probe.Brief(name))
	matches, v := s.o.Receive.Matches(s.ctx, []byte(name))
	switch {
	case v != nil:
		return *v
	case !matches:
		return sdk.DownWith(sdk.CodeMatch, "receive does not match \"%s\"", probe.Brief(name))
	}
	return sdk.Up()
}

// bind is anonymous unless there are a name and a password: a name alone proves nothing (RFC 4513,
// 5.1.2), and servers refuse it.
func (s *session) bind(client *ldap.Conn) error {
	if s.o.Login == "" || s.o.Passwd == "" {
		s.tr.Note("bind anonymously")
		return client.UnauthenticatedBind("")
	}
	s.tr.Note("bind as \"%s\"", s.o.Login)
	return client.Bind(s.o.Login, s.o.Passwd)
}

// explain finds out what the library's error comes from: the server's answer, the connection,
// or an answer that it did not understand.
func explain(what string, err error, w *wire) error {
	if code, ok := resultOf(err); ok {
		return refused(what, err, codeOf(code, what == "bind"))
	}
	if broke := w.failure(); broke != nil {
		return broke
	}
	return probe.Failed(sdk.CodeProtocol, "%s: %s", what, probe.Brief(err.Error()))
}

// resultOf is the result code of an answer. The library has numbers of its own among them.
func resultOf(err error) (uint16, bool) {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || ldap.ErrorNetwork <= e.ResultCode && e.ResultCode <= ldap.ErrorMalformedPacket {
		return 0, false
	}
	return e.ResultCode, true
}

// codeOf sorts result codes (RFC 4511, appendix A).
func codeOf(result uint16, binding bool) sdk.Code {
	switch result {
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultAuthMethodNotSupported,
		ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultConfidentialityRequired:
		return sdk.CodeAuth
	case ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax:
		if binding { // it is the login that does not exist
			return sdk.CodeAuth
		}
	case ldap.LDAPResultTimeLimitExceeded:
		return sdk.CodeTimeout
	}
	return sdk.CodeStatus
}

// refused words an answer that says no; err is what the library made of it.
func refused(what string, err error, as sdk.Code) error {
	result, ok := resultOf(err)
	if !ok {
		return probe.Failed(sdk.CodeProtocol, "%s: a malformed answer", what)
	}
	e, _ := errors.AsType[*ldap.Error](err)
	text := fmt.Sprintf("%s: result %d", what, result)
	if name := ldap.LDAPResultCodeMap[result]; name != "" {
		text += " (" + name + ")"
	}
	if said := e.Err.Error(); said != "" {
		text += fmt.Sprintf(": \"%s\"", probe.Brief(said))
	}
	if to := referral(e.Packet); to != "" {
		text += fmt.Sprintf(", referral to \"%s\"", probe.Brief(to))
	}
	return probe.Failed(as, "%s", text)
}

// referral is the first address of an answer that has some (RFC 4511, 4.1.10).
func referral(answer *ber.Packet) string {
	if answer == nil || len(answer.Children) < 2 {
		return ""
	}
	for _, part := range answer.Children[1].Children {
		if part.ClassType == ber.ClassContext && part.Tag == 3 && len(part.Children) > 0 {
			to, _ := part.Children[0].Value.(string)
			return to
		}
	}
	return ""
}
