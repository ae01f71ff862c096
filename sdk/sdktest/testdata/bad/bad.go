// Package bad has a check that keeps every rule of the conformance suite, and for each rule one that
// breaks it and no other. Tests make them plugins: see Main.
package bad

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

type options struct {
	Greeting string `option:"receive" default:"220" help:"how the first line must begin"`
	Depth    int    `option:"depth" default:"1" help:"lines to read"`
	Helper   string `option:"helper" help:"another server"`
	Passwd   string `option:"passwd" secret:"true" help:"what to log in with"`
	Role     string `option:"role" required:"true" help:"what the server is"`
}

type check = sdk.Check[options]

// Good is the check that all others are made from.
func Good() sdk.Checker { return good().Checker() }

func good() check {
	return check{
		Name: "banner", Summary: "reads a greeting", Version: "1.0", Port: 7777, Probe: greet,
		Services: []sdk.Service{{Name: "banner"}},
	}
}

func greet(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	c, err := t.Dial(ctx)
	if err != nil {
		return sdk.DownWith(sdk.CodeRefused, "%v", err)
	}
	defer c.Close()
	return listen(ctx, c, o)
}

func listen(ctx context.Context, c net.Conn, o options) sdk.Verdict {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	line, err := bufio.NewReader(io.LimitReader(c, 1<<16)).ReadString('\n')
	switch {
	case err != nil:
		return sdk.DownWith(sdk.CodeTimeout, "%v", err)
	case !strings.HasPrefix(line, o.Greeting):
		return sdk.DownWith(sdk.CodeMatch, "greeting %.40q", line)
	}
	return sdk.Up()
}

// probing is the good check with another probe.
func probing(p func(context.Context, sdk.Target, options) sdk.Verdict) sdk.Checker {
	c := good()
	c.Probe = p
	return c.Checker()
}

// Checks are those that break a rule wherever they run, by the name of the rule. Some break it
// only over a stream, where alone it can be broken.
func Checks() map[string]sdk.Checker {
	silent := good()
	silent.Summary = ""
	offline := good()
	offline.Validate = validateByAsking
	return map[string]sdk.Checker{
		"description":      silent.Checker(),
		"unknown-option":   &forgiving{Good(), "no-such-option"},
		"missing-option":   &completing{Good()},
		"malformed-option": &forgiving{Good(), "depth"},
		"unknown-service":  &anyService{Good()},
		"offline":          offline.Checker(),
		"refused":          probing(doubtful),
		"black-hole":       probing(patient),
		"deadline":         probing(deaf),
		"cancel":           probing(stubborn),
		"garbage":          probing(fragile),
		"at-once":          probing(lonely()),
		"ipv4":             probing(modern),
		"ipv6":             probing(oldFashioned),
		"secrets":          probing(talkative),
		"one-verdict":      probing(tired()),
		"forget":           probing(clinging()),
		"batch":            probing(crowded()),
	}
}

// validateByAsking connects to a server to see whether it is there.
func validateByAsking(_ string, o options) error {
	if c, err := net.DialTimeout("tcp", o.Helper, time.Second); err == nil {
		c.Close()
	}
	return nil
}

// forgiving ignores an option that it should refuse.
type forgiving struct {
	sdk.Checker
	option string
}

func (f *forgiving) Validate(ctx context.Context, service string, o sdk.Options) error {
	return f.Checker.Validate(ctx, service, without(o, f.option))
}

func without(o sdk.Options, name string) sdk.Options {
	rest := sdk.Options{}
	for k, v := range o {
		if k != name {
			rest[k] = v
		}
	}
	return rest
}

// completing makes up what is missing.
type completing struct{ sdk.Checker }

func (c *completing) Validate(ctx context.Context, service string, o sdk.Options) error {
	if o["role"] == "" {
		o = without(o, "role")
		o["role"] = "primary"
	}
	return c.Checker.Validate(ctx, service, o)
}

// anyService does not look which service it is.
type anyService struct{ sdk.Checker }

func (a *anyService) Validate(ctx context.Context, _ string, o sdk.Options) error {
	return a.Checker.Validate(ctx, "", o)
}
