package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/match"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// options of the check: the directives of ldirectord(8) that reach it, then its own.
type options struct {
	Request     location `option:"request" default:"/" help:"path on the real server, or a whole URL; http_proxy: a whole URL, always down without"`
	Receive     pattern  `option:"receive" type:"pattern" help:"Perl pattern to find in the body; unset: the status alone decides"`
	Method      method   `option:"httpmethod" default:"GET" help:"GET or HEAD"`
	VirtualHost string   `option:"virtualhost" help:"Host header and TLS server name; unset: the URL's host, or the address"`
	MaxBody     int      `option:"max-body" default:"1048576" help:"bytes of the body to look at"`
	Redirects   int      `option:"redirects" default:"7" help:"redirects to follow at most"`
	probe.TLSOptions
}

// largestBody bounds max-body: so much memory may one probe take.
const largestBody = 64 << 20

// validate says what decoding the options one by one cannot.
func validate(_ string, o options) error {
	errs := []error{o.TLSOptions.Validate()}
	wrong := func(option, format string, args ...any) {
		errs = append(errs, &sdk.OptionError{Option: option, Want: fmt.Sprintf(format, args...)})
	}
	if strings.ContainsFunc(o.VirtualHost, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		wrong("virtualhost", "%q is not a host name", o.VirtualHost)
	}
	if o.MaxBody < 1 || o.MaxBody > largestBody {
		wrong("max-body", "%d is not between 1 and %d", o.MaxBody, largestBody)
	}
	if o.Redirects < 0 || o.Redirects > 100 {
		wrong("redirects", "%d is not between 0 and 100", o.Redirects)
	}
	return errors.Join(errs...)
}

// method is how to ask: GET or HEAD.
type method string

// UnmarshalText reads GET or HEAD in either case.
func (m *method) UnmarshalText(text []byte) error {
	*m = method(strings.ToUpper(string(text)))
	if *m != "GET" && *m != "HEAD" {
		return fmt.Errorf("%q is neither GET nor HEAD", text)
	}
	return nil
}

// pattern is receive; nil inside when it is unset or empty, which any answer satisfies.
type pattern struct{ *match.Pattern }

// UnmarshalText compiles a Perl pattern.
func (p *pattern) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	compiled, err := match.Compile(string(text))
	if err != nil {
		if wrong, ok := errors.AsType[*match.SyntaxError](err); ok {
			return patternError{wrong}
		}
		return err
	}
	p.Pattern = compiled
	return nil
}

// patternError says where a pattern is wrong.
type patternError struct{ *match.SyntaxError }

func (e patternError) Error() string    { return e.Reason }
func (e patternError) ValueOffset() int { return e.Offset }
