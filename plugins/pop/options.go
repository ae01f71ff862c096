package main

import (
	"errors"
	"fmt"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login    string `option:"login" help:"name to log in with; unset: the greeting decides"`
	Passwd   string `option:"passwd" secret:"true" help:"password of login"`
	Auth     method `option:"auth" default:"best" help:"how to log in: apop, cram-md5, user, or best: the first of them that the server offers"`
	StartTLS bool   `option:"starttls" default:"no" help:"pop: require TLS on the connection (STLS) before the login"`
	probe.TLSOptions
}

func validate(service string, o options) error {
	errs := []error{o.TLSOptions.Validate()}
	wrong := func(option, what string) {
		errs = append(errs, &sdk.OptionError{Option: option, Want: what})
	}
	if service == "pops" && o.StartTLS {
		wrong("starttls", "pops has TLS from the start")
	}
	if service != "pops" && o.Verify && !o.StartTLS {
		wrong("tls-verify", "verifies nothing as long as starttls is no")
	}
	return errors.Join(errs...)
}

// method is how to log in.
type method string

// UnmarshalText reads best, apop, cram-md5 or user.
func (m *method) UnmarshalText(text []byte) error {
	switch *m = method(text); *m {
	case "best", "apop", "cram-md5", "user":
		return nil
	}
	return fmt.Errorf("%q is none of best, apop, cram-md5 and user", text)
}
