package main

import (
	"errors"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login    string `option:"login" help:"name to log in with; unset: the greeting decides"`
	Passwd   string `option:"passwd" secret:"true" help:"password of login"`
	StartTLS bool   `option:"starttls" default:"no" help:"imap: require TLS on the connection (STARTTLS) before the login"`
	probe.TLSOptions
}

func validate(service string, o options) error {
	errs := []error{o.TLSOptions.Validate()}
	wrong := func(option, what string) {
		errs = append(errs, &sdk.OptionError{Option: option, Want: what})
	}
	if service == "imaps" && o.StartTLS {
		wrong("starttls", "imaps has TLS from the start")
	}
	if service != "imaps" && o.Verify && !o.StartTLS {
		wrong("tls-verify", "verifies nothing as long as starttls is no")
	}
	for option, text := range map[string]string{"login": o.Login, "passwd": o.Passwd} {
		if strings.ContainsAny(text, "\r\n\x00") {
			wrong(option, "holds a line end or a zero byte")
		}
	}
	return errors.Join(errs...)
}
