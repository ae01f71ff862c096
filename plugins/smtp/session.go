package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

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
	talk, name, err := s.greet()
	note := ""
	if err == nil && s.o.StartTLS {
		talk, err = s.secure(talk, name)
		if err == nil {
			note = talk.ExpiryNote(time.Now())
			_, err = s.hello(talk, name)
		}
	}
	if talk != nil {
		defer talk.Close()
	}
	if err != nil {
		return probe.WithNote(probe.Judge(err), note)
	}
	talk.Bye("QUIT")
	return probe.WithNote(sdk.Up(), note)
}

// greet connects and says hello; name is what we said that we are. With starttls the server
// has agreed to TLS afterwards.
func (s *session) greet() (talk *probe.Talk, name string, err error) {
	t := s.target
	t.Network = "tcp"
	conn, err := probe.Dial(s.ctx, t, s.tr)
	if err != nil {
		return nil, "", err
	}
	talk, name = probe.NewTalk(conn, s.tr), s.name(conn)
	first, err := read(talk)
	if err == nil && first.code != "220" {
		err = first.refused("greeting")
	}
	s.tr.Phase("greeting")
	if err != nil {
		return talk, name, err
	}
	offers, err := s.hello(talk, name)
	if err == nil && s.o.StartTLS {
		err = startTLS(talk, offers)
	}
	return talk, name, err
}

// secure does the handshake on a conversation whose server has agreed to it. Should the
// handshake have to be done again, it is on a connection of its own.
func (s *session) secure(talk *probe.Talk, name string) (*probe.Talk, error) {
	again := false
	conn, err := s.o.Over(func() (net.Conn, error) {
		if again {
			var err error
			if talk, _, err = s.greet(); err != nil {
				return nil, err
			}
		}
		again = true
		return talk.Plain()
	}, "", s.target.Addr.Addr(), s.tr)
	if err != nil {
		return talk, err
	}
	return probe.NewTalk(conn, s.tr), nil
}

// hello says EHLO, or HELO to those that do not know that (RFC 5321, 4.1.1.1), and gives back
// the lines of the answer.
func (s *session) hello(talk *probe.Talk, name string) ([]string, error) {
	for _, verb := range []string{"EHLO", "HELO"} {
		if err := talk.Say("%s %s", verb, name); err != nil {
			return nil, err
		}
		r, err := read(talk)
		if err != nil {
			return nil, err
		}
		s.tr.Phase(strings.ToLower(verb))
		if r.code == "250" {
			return r.lines, nil
		}
		if r.code[0] != '5' || verb == "HELO" {
			return nil, r.refused("answer to " + verb)
		}
	}
	return nil, nil
}

func startTLS(talk *probe.Talk, offers []string) error {
	offered := false
	for _, line := range offers[1:] {
		offered = offered || strings.EqualFold(strings.TrimSpace(line), "STARTTLS")
	}
	if !offered {
		return probe.Failed(sdk.CodeStatus, "the server does not offer STARTTLS")
	}
	if err := talk.Say("STARTTLS"); err != nil {
		return err
	}
	r, err := read(talk)
	if err == nil && r.code != "220" {
		err = r.refused("answer to STARTTLS")
	}
	return err
}

// name is what we call ourselves: servers want a whole name, or an address in brackets (RFC
// 5321, 4.1.3).
func (s *session) name(conn net.Conn) string {
	if s.o.Helo != "" {
		return s.o.Helo
	}
	if host, err := os.Hostname(); err == nil && strings.Contains(host, ".") {
		return host
	}
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return "localhost"
	}
	a := local.Addr().Unmap().WithZone("")
	if a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}

// reply is an answer of the server's (RFC 5321, 4.2).
type reply struct {
	code  string
	lines []string // without the code
}

// maxLines bounds one reply.
const maxLines = 100

func read(talk *probe.Talk) (r reply, err error) {
	for len(r.lines) < maxLines {
		line, err := talk.Line()
		if err != nil {
			return r, err
		}
		code, rest, ok := split(line)
		if !ok || r.code != "" && code != r.code {
			return r, probe.Failed(sdk.CodeProtocol, "no answer in the SMTP protocol: \"%s\"", probe.Brief(line))
		}
		r.code = code
		r.lines = append(r.lines, strings.TrimPrefix(strings.TrimPrefix(rest, "-"), " "))
		if !strings.HasPrefix(rest, "-") {
			return r, nil
		}
	}
	return r, probe.Failed(sdk.CodeProtocol, "an answer of more than %d lines", maxLines)
}

// split takes the code off a line; rest begins with what separates them.
func split(line string) (code, rest string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '9' || line[2] < '0' || line[2] > '9' {
		return "", "", false
	}
	code, rest = line[:3], line[3:]
	return code, rest, rest == "" || rest[0] == ' ' || rest[0] == '-'
}

func (r reply) refused(what string) error {
	return probe.Failed(sdk.CodeStatus, "%s: \"%s\"", what, probe.Brief(strings.TrimSpace(r.code+" "+r.lines[len(r.lines)-1])))
}
