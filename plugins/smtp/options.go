package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// options of the check.
type options struct {
	Helo     string `option:"helo" help:"name to greet with; unset: this host's when it has a dot, else its address"`
	StartTLS bool   `option:"starttls" default:"no" help:"require STARTTLS, and greet again under TLS"`
	probe.TLSOptions
}

func validate(_ string, o options) error {
	errs := []error{o.TLSOptions.Validate()}
	wrong := func(option, format string, args ...any) {
		errs = append(errs, &sdk.OptionError{Option: option, Want: fmt.Sprintf(format, args...)})
	}
	if strings.ContainsFunc(o.Helo, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		wrong("helo", "%q is no name", o.Helo)
	}
	if o.Verify && !o.StartTLS {
		wrong("tls-verify", "verifies nothing as long as starttls is no")
	}
	return errors.Join(errs...)
}
