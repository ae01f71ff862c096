package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// session is one probe under way.
type session struct {
	ctx    context.Context
	target sdk.Target
	o      options
	tr     *probe.Trace

	commands int // sent so far
}

func (s *session) run() sdk.Verdict {
	talk, greeting, err := s.open()
	if err != nil {
		return probe.Judge(err)
	}
	defer talk.Close()
	note := talk.ExpiryNote(time.Now())
	if s.o.Login != "" && greeting.Type != imap.StatusRespPreauth {
		err = s.login(talk, greeting)
	}
	if err == nil || isRefusal(err) {
		talk.Bye("bye LOGOUT")
	}
	v := sdk.Up()
	if err != nil {
		v = probe.Judge(err)
	}
	return probe.WithNote(v, note)
}

// open connects, with TLS where that is asked for, up to the greeting.
func (s *session) open() (talk *probe.Talk, greeting *imap.StatusResp, err error) {
	switch {
	case s.target.Service == "imaps":
		conn, err := s.o.Dial(s.ctx, s.target, "", s.tr)
		if err != nil {
			return nil, nil, err
		}
		return s.greet(conn)
	case !s.o.StartTLS:
		conn, err := probe.Dial(s.ctx, s.target, s.tr)
		if err != nil {
			return nil, nil, err
		}
		return s.greet(conn)
	}
	conn, err := s.o.Over(s.startTLS, "", s.target.Addr.Addr(), s.tr)
	if err != nil {
		return nil, nil, err
	}
	// There is no second greeting, and what the first one offered counts no more (RFC 3501, 6.2.1).
	return probe.NewTalk(conn, s.tr), &imap.StatusResp{Type: imap.StatusRespOk}, nil
}

// startTLS connects and has the server agree to TLS.
func (s *session) startTLS() (net.Conn, error) {
	plain, err := probe.Dial(s.ctx, s.target, s.tr)
	if err != nil {
		return nil, err
	}
	talk, greeting, err := s.greet(plain)
	if err != nil {
		return nil, err
	}
	if greeting.Type == imap.StatusRespPreauth { // too late for it (RFC 3501, 6.2.1)
		err = refusal(sdk.CodeStatus, "greeting: PREAUTH, after which there is no STARTTLS")
	} else {
		_, err = s.ask(talk, sdk.CodeStatus, "STARTTLS")
	}
	if err == nil {
		return talk.Plain()
	}
	if isRefusal(err) {
		talk.Bye("bye LOGOUT")
	}
	_ = talk.Close()
	return nil, err
}

// greet reads the greeting (RFC 3501, 7.1).
func (s *session) greet(conn net.Conn) (*probe.Talk, *imap.StatusResp, error) {
	talk := probe.NewTalk(conn, s.tr)
	line, resp, err := read(talk)
	s.tr.Phase("greeting")
	if err == nil {
		greeting, ok := resp.(*imap.StatusResp)
		switch {
		case !ok || greeting.Tag != "*":
			err = notIMAP(line)
		case greeting.Type == imap.StatusRespOk || greeting.Type == imap.StatusRespPreauth:
			return talk, greeting, nil
		default: // BYE
			err = refusal(sdk.CodeStatus, "greeting: \"%s\"", probe.Brief(line))
		}
	}
	_ = talk.Close()
	return nil, nil, err
}

// login logs in, unless the server says beforehand that it lets nobody in.
func (s *session) login(talk *probe.Talk, greeting *imap.StatusResp) error {
	offers, err := offered(greeting), error(nil)
	if offers == nil {
		offers, err = s.ask(talk, sdk.CodeStatus, "CAPABILITY")
		s.tr.Phase("capability")
		if err != nil {
			return err
		}
	}
	if slices.ContainsFunc(offers, func(c string) bool { return strings.EqualFold(c, "LOGINDISABLED") }) {
		return refusal(sdk.CodeAuth, "the server takes no login on this connection (LOGINDISABLED)")
	}
	_, err = s.ask(talk, sdk.CodeAuth, "LOGIN", s.o.Login, s.o.Passwd)
	s.tr.Phase("login")
	return err
}

// maxLines bounds the answer to one command.
const maxLines = 100

// ask sends a command and reads its answer; code is that of a refusal. It gives back the
// capabilities that the server lists meanwhile.
func (s *session) ask(talk *probe.Talk, code sdk.Code, name string, arguments ...any) (offers []string, err error) {
	s.commands++
	tag := fmt.Sprintf("a%d", s.commands)
	lines, err := encode(imap.Command{Tag: tag, Name: name, Arguments: arguments})
	if err != nil {
		return nil, err
	}
	if err := talk.Say("%s", lines[0]); err != nil {
		return nil, err
	}
	for range maxLines {
		line, resp, err := read(talk)
		if err != nil {
			return nil, err
		}
		switch resp := resp.(type) {
		case *imap.StatusResp:
			switch {
			case resp.Tag == tag && resp.Type == imap.StatusRespOk:
				return offers, nil
			case resp.Tag == tag || resp.Type == imap.StatusRespBye:
				return nil, refusal(codeOf(code, resp), "answer to %s: \"%s\"", name, probe.Brief(line))
			case resp.Tag != "*":
				return nil, notIMAP(line)
			}
		case *imap.ContinuationReq:
			if lines = lines[1:]; len(lines) == 0 {
				return nil, notIMAP(line)
			}
			if err := talk.Say("%s", lines[0]); err != nil {
				return nil, err
			}
		case *imap.DataResp:
			if name, fields, ok := imap.ParseNamedResp(resp); ok && name == "CAPABILITY" {
				offers = texts(fields)
			}
		}
	}
	return nil, probe.Failed(sdk.CodeProtocol, "an answer of more than %d lines", maxLines)
}
