package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/match"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Request  base          `option:"request" help:"distinguished name of the entry to read; unset: the root of the server (root DSE)"`
	Receive  match.Receive `option:"receive" type:"pattern" help:"what the distinguished name of the entry has to match"`
	Login    string        `option:"login" help:"distinguished name to bind as; anonymous unless it and passwd are set"`
	Passwd   string        `option:"passwd" secret:"true" help:"password of login"`
	StartTLS bool          `option:"starttls" default:"no" help:"ldap: require TLS on the connection (StartTLS) before the bind"`
	probe.TLSOptions
}

func validate(service string, o options) error {
	errs := []error{o.TLSOptions.Validate()}
	wrong := func(option, what string) {
		errs = append(errs, &sdk.OptionError{Option: option, Want: what})
	}
	if service == "ldaps" && o.StartTLS {
		wrong("starttls", "ldaps has TLS from the start")
	}
	if service != "ldaps" && o.Verify && !o.StartTLS {
		wrong("tls-verify", "verifies nothing as long as starttls is no")
	}
	return errors.Join(errs...)
}

// base is the name of the entry to read.
type base string

// UnmarshalText reads a distinguished name, whose syntax is for the server to judge: there are
// more of them than RFC 4514's (Active Directory's <GUID=...>, LDAPv2's quotes). A slash in front
// of it, which no name has, is left out: the Perl ldirectord did not mind it.
func (b *base) UnmarshalText(text []byte) error {
	name := strings.TrimPrefix(string(text), "/")
	if name != "" && !strings.Contains(name, "=") {
		return fmt.Errorf("%q is no distinguished name, such as dc=example,dc=com", text)
	}
	*b = base(name)
	return nil
}
