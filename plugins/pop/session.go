package main

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net"
	"regexp"
	"slices"
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
	notes  []string
}

func (s *session) run() sdk.Verdict {
	talk, greeting, err := s.open()
	v := sdk.Up()
	if err == nil {
		if note := talk.ExpiryNote(time.Now()); note != "" {
			s.notes = append(s.notes, note)
		}
		defer talk.Close()
		if s.o.Login != "" {
			err = s.login(talk, greeting)
		}
	}
	if err != nil {
		v = probe.Judge(err)
	} else {
		talk.Bye("QUIT")
	}
	for _, note := range s.notes {
		v = probe.WithNote(v, note)
	}
	return v
}

// open connects, with TLS where that is asked for, up to the greeting.
func (s *session) open() (talk *probe.Talk, greeting string, err error) {
	switch {
	case s.target.Service == "pops":
		conn, err := s.o.Dial(s.ctx, s.target, "", s.tr)
		if err != nil {
			return nil, "", err
		}
		return s.greet(conn)
	case !s.o.StartTLS:
		conn, err := probe.Dial(s.ctx, s.target, s.tr)
		if err != nil {
			return nil, "", err
		}
		return s.greet(conn)
	}
	conn, err := s.o.Over(func() (net.Conn, error) {
		plain, err := probe.Dial(s.ctx, s.target, s.tr)
		if err != nil {
			return nil, err
		}
		if talk, greeting, err = s.greet(plain); err != nil {
			return nil, err
		}
		if _, err := ask(talk, sdk.CodeStatus, "STLS", "STLS"); err != nil {
			talk.Close()
			return nil, err
		}
		return talk.Plain()
	}, "", s.target.Addr.Addr(), s.tr)
	if err != nil {
		if talk != nil {
			talk.Close()
		}
		return nil, "", err
	}
	return probe.NewTalk(conn, s.tr), greeting, nil // there is no second greeting (RFC 2595, 4)
}

func (s *session) greet(conn net.Conn) (*probe.Talk, string, error) {
	talk := probe.NewTalk(conn, s.tr)
	greeting, err := answer(talk, sdk.CodeStatus, "greeting")
	s.tr.Phase("greeting")
	if err != nil {
		talk.Close()
		return nil, "", err
	}
	return talk, greeting, nil
}

// answer reads the line that begins with +OK or -ERR (RFC 1939, 3), and gives back the rest of a
// good one. code is that of a refusal.
func answer(talk *probe.Talk, code sdk.Code, to string) (string, error) {
	line, err := talk.Line()
	if err != nil {
		return "", err
	}
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case strings.EqualFold(word, "+OK"):
		return rest, nil
	case strings.EqualFold(word, "-ERR"):
		return "", &refusal{probe.Failed(codeOf(code, rest), "%s: \"%s\"", to, probe.Brief(line)), rest}
	}
	return "", probe.Failed(sdk.CodeProtocol, "no answer in the POP3 protocol: \"%s\"", probe.Brief(line))
}

// refusal is a -ERR with its text.
type refusal struct {
	error
	text string
}

func (r *refusal) Unwrap() error { return r.error }

// codeOf tells a server that cannot from one that does not want (RFC 3206).
func codeOf(code sdk.Code, text string) sdk.Code {
	if strings.HasPrefix(text, "[SYS/") {
		return sdk.CodeStatus
	}
	return code
}

// ask sends a line and reads the answer; what names the line without its secrets.
func ask(talk *probe.Talk, code sdk.Code, what, line string) (string, error) {
	if err := talk.Say("%s", line); err != nil {
		return "", err
	}
	return answer(talk, code, "answer to "+what)
}

// stamp is what a server that knows APOP has in its greeting (RFC 1939, 7).
var stamp = regexp.MustCompile(`<[^<> ]+@[^<> ]*>`)

func (s *session) login(talk *probe.Talk, greeting string) error {
	how, at := s.o.Auth, stamp.FindString(greeting)
	if how == "best" {
		var err error
		if how, err = best(talk, at); err != nil {
			return err
		}
	}
	var err error
	switch how {
	case "apop":
		err = s.apop(talk, at)
	case "cram-md5":
		err = s.cramMD5(talk)
	default:
		if _, err = ask(talk, sdk.CodeAuth, "USER", "USER "+s.o.Login); err == nil {
			_, err = ask(talk, sdk.CodeAuth, "PASS", "PASS "+s.o.Passwd)
		}
	}
	s.tr.Phase("login")
	return s.forgive(err)
}

// forgive makes a success of a login that was right, but came while the mailbox is in use: another
// director's check may be why (RFC 2449, 8.1).
func (s *session) forgive(err error) error {
	r, refused := err.(*refusal)
	if !refused || !strings.HasPrefix(r.text, "[IN-USE]") && !strings.HasPrefix(r.text, "[LOGIN-DELAY]") {
		return err
	}
	s.notes = append(s.notes, "the login is right, but "+probe.Brief(r.text))
	return nil
}

// maxCapabilities bounds the answer to CAPA, in lines.
const maxCapabilities = 100

// best is the first way to log in that the server offers and that does not send the password.
func best(talk *probe.Talk, at string) (method, error) {
	if at != "" {
		return "apop", nil
	}
	if err := talk.Say("CAPA"); err != nil {
		return "", err
	}
	if _, err := answer(talk, sdk.CodeStatus, "answer to CAPA"); err != nil {
		if _, refused := err.(*refusal); refused {
			return "user", nil // older than RFC 2449
		}
		return "", err
	}
	how := method("user")
	for range maxCapabilities {
		line, err := talk.Line()
		if err != nil || line == "." {
			return how, err
		}
		words := strings.Fields(strings.ToUpper(line))
		if len(words) > 1 && words[0] == "SASL" && slices.Contains(words, "CRAM-MD5") {
			how = "cram-md5"
		}
	}
	return "", probe.Failed(sdk.CodeProtocol, "more than %d capabilities", maxCapabilities)
}

func (s *session) apop(talk *probe.Talk, at string) error {
	if at == "" {
		return probe.Failed(sdk.CodeAuth, "the server does not offer APOP")
	}
	sum := md5.Sum([]byte(at + s.o.Passwd))
	digest := hex.EncodeToString(sum[:])
	s.tr.Secret(digest)
	_, err := ask(talk, sdk.CodeAuth, "APOP", "APOP "+s.o.Login+" "+digest)
	return err
}

// cramMD5 logs in as RFC 2195 and RFC 5034 have it.
func (s *session) cramMD5(talk *probe.Talk) error {
	if err := talk.Say("AUTH CRAM-MD5"); err != nil {
		return err
	}
	line, err := talk.Line()
	if err != nil {
		return err
	}
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "+ "))
	if !strings.HasPrefix(line, "+ ") || err != nil {
		return probe.Failed(sdk.CodeAuth, "answer to AUTH CRAM-MD5: \"%s\"", probe.Brief(line))
	}
	mac := hmac.New(md5.New, []byte(s.o.Passwd))
	mac.Write(challenge)
	response := base64.StdEncoding.EncodeToString([]byte(s.o.Login + " " + hex.EncodeToString(mac.Sum(nil))))
	s.tr.Secret(response)
	_, err = ask(talk, sdk.CodeAuth, "AUTH CRAM-MD5", response)
	return err
}
