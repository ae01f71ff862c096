package main

import (
	"errors"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login     string `option:"login" required:"true" help:"name to log in with"`
	Passwd    string `option:"passwd" secret:"true" help:"password of login; unset: none"`
	Database  string `option:"database" help:"database that the request is made in"`
	Request   string `option:"request" required:"true" help:"SQL query that has to give one row or more"`
	StartTLS  bool   `option:"starttls" default:"no" help:"require TLS on the connection before the login"`
	Cleartext bool   `option:"cleartext" default:"no" help:"without TLS, too, answer a server that asks for the password in clear text, or as before MySQL 4.1"`
	probe.TLSOptions
}

func validate(_ string, o options) error {
	errs := []error{o.TLSOptions.Validate()}
	if o.Verify && !o.StartTLS {
		errs = append(errs, &sdk.OptionError{Option: "tls-verify", Want: "verifies nothing as long as starttls is no"})
	}
	return errors.Join(errs...)
}
