package main

import (
	"fmt"
	"os"
	"strings"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login  address `option:"login" help:"who asks, and is asked for (From, To); unset: ldirectord@ and the director's host name"`
	Passwd string  `option:"passwd" secret:"true" help:"password of login, for servers that want one"`
	URI    address `option:"uri" help:"what to ask about (Request-URI); unset: login"`
}

// address is a SIP URI (RFC 3261, 19.1); empty: none was given.
type address string

// UnmarshalText reads a URI, with or without its scheme.
func (a *address) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`<>"`, r) }) {
		return fmt.Errorf("%q is not a SIP address: it has a blank, a quote, an angle bracket or a control character in it", s)
	}
	if s != "" && !strings.HasPrefix(s, "sip:") && !strings.HasPrefix(s, "sips:") {
		s = "sip:" + s
	}
	*a = address(s)
	return nil
}

// user is what stands before the @ and a password.
func (a address) user() string {
	_, s, _ := strings.Cut(string(a), ":")
	s, _, _ = strings.Cut(s, "@")
	s, _, _ = strings.Cut(s, ":")
	return s
}

// filled puts in what ldirectord(8) says of a login that is not set.
func (o options) filled() options {
	if o.Login == "" {
		o.Login = address("sip:ldirectord@" + hostName())
	}
	if o.URI == "" {
		o.URI = o.Login
	}
	return o
}

// hostName is the director's, as ldirectord(8) has it ("passwd").
func hostName() string {
	if name := os.Getenv("HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}
