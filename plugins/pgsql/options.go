package main

import (
	"errors"
	"fmt"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login    string   `option:"login" required:"true" help:"name to log in with"`
	Passwd   string   `option:"passwd" secret:"true" help:"password of login; unset: none"`
	Database string   `option:"database" help:"database that the request is made in; unset: the one called like login"`
	Request  string   `option:"request" required:"true" help:"SQL query that has to give one row or more"`
	StartTLS startTLS `option:"starttls" default:"prefer" help:"TLS on the connection before the login: yes (required), no, or prefer: if the server offers it"`
	probe.TLSOptions
}

func validate(_ string, o options) error {
	errs := []error{o.TLSOptions.Validate()}
	if o.Verify && o.StartTLS != "yes" {
		errs = append(errs, &sdk.OptionError{Option: "tls-verify", Want: "needs starttls = yes: else a server without TLS is none the worse"})
	}
	return errors.Join(errs...)
}

// startTLS is libpq's sslmode: no is its disable, yes its require.
type startTLS string

// UnmarshalText reads prefer, or a boolean as other options have it.
func (s *startTLS) UnmarshalText(text []byte) error {
	switch word := string(text); word {
	case "prefer":
		*s = startTLS(word)
	case "yes", "true", "on", "1":
		*s = "yes"
	case "no", "false", "off", "0":
		*s = "no"
	default:
		return fmt.Errorf("%q is none of prefer, yes and no", word)
	}
	return nil
}
