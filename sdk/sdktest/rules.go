package sdktest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Sample is a configuration of the check, and a server that deserves Up from it.
type Sample struct {
	Service sdk.Service
	Options sdk.Options
	Server  Server // nil: there is none, and rules that need one are not tried
}

// Rule is something that every check has to keep.
type Rule struct {
	Name string // a few words, fit for a test's name
	Why  string // one line
	// NeedsServer says that Try does nothing without a Sample's Server.
	NeedsServer bool
	// Try gives back how the rule is broken.
	Try func(ctx context.Context, c sdk.Checker, s Sample) error
}

// patience is what a check may take beyond its deadline or its cancellation: enough for a
// busy machine, less than the second after which a director cuts it off.
const patience = 700 * time.Millisecond

// crowd is how many probes the rule "at-once" runs together.
const crowd = 32

// Rules lists them all.
func Rules() []Rule {
	return []Rule{
		{"description", "an operator learns from it what can be configured", false, describes},
		{"unknown-option", "a typing error in a configuration must not pass silently", false, refusesUnknown},
		{"unknown-service", "a link with a wrong name must not pass silently", false, refusesService},
		{"deadline", "a black-holed server must not hold a check longer than its timeout", false, keepsDeadline},
		{"cancel", "a check that nobody waits for must end", false, keepsCancel},
		{"refused", "a closed port is the plainest Down there is", false, refusedIsDown},
		{"at-once", "a director runs many probes at the same time", true, runsAtOnce},
		{"ipv4", "real servers have IPv4 addresses", true, overIPv4},
		{"ipv6", "a check that says it can do IPv6 must", true, overIPv6},
	}
}

func describes(ctx context.Context, c sdk.Checker, _ Sample) error {
	info, err := c.Describe(ctx)
	if err != nil {
		return err
	}
	var errs []error
	lack := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if info.Name == "" || info.Name != strings.ToLower(info.Name) || strings.ContainsAny(info.Name, " /") {
		lack("name %q is not a lower-case word", info.Name)
	}
	if info.Summary == "" {
		lack("no summary")
	}
	if len(info.Services) == 0 {
		lack("no services")
	}
	for _, s := range info.Services {
		if s.Name == "" || s.Network != "tcp" && s.Network != "udp" {
			lack("service %q over %q", s.Name, s.Network)
		}
	}
	for _, o := range info.Options {
		if o.Help == "" {
			lack("option %s has no help", o.Name)
		}
		if o.Secret && o.Default != "" {
			lack("option %s is secret and has a default for all to see", o.Name)
		}
	}
	return errors.Join(errs...)
}

func refusesUnknown(ctx context.Context, c sdk.Checker, s Sample) error {
	const name = "no-such-option"
	o := sdk.Options{name: "x"}
	for k, v := range s.Options {
		o[k] = v
	}
	err := c.Validate(ctx, s.Service.Name, o)
	if err == nil {
		return fmt.Errorf("option %s was accepted", name)
	}
	var oe *sdk.OptionError
	if !errors.As(err, &oe) || oe.Option != name {
		return fmt.Errorf("the error does not name the option %s: %w", name, err)
	}
	return nil
}

func refusesService(ctx context.Context, c sdk.Checker, s Sample) error {
	if c.Validate(ctx, "no-such-service", s.Options) == nil {
		return errors.New("service no-such-service was accepted")
	}
	return nil
}

func keepsDeadline(ctx context.Context, c sdk.Checker, s Sample) error {
	s.Server = silentOver(s.Service.Network)
	const limit = 300 * time.Millisecond
	return s.with(v4(), func(t sdk.Target) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return endsWithin(limit+patience, "its deadline was", limit, func() sdk.Verdict { return c.Probe(ctx, t, s.Options) })
	})
}

func keepsCancel(ctx context.Context, c sdk.Checker, s Sample) error {
	s.Server = silentOver(s.Service.Network)
	const after = 100 * time.Millisecond
	return s.with(v4(), func(t sdk.Target) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		defer time.AfterFunc(after, cancel).Stop()
		return endsWithin(after+patience, "it was cancelled after", after, func() sdk.Verdict { return c.Probe(ctx, t, s.Options) })
	})
}

// endsWithin runs probe, and gives up on it when it does not come back.
func endsWithin(limit time.Duration, what string, when time.Duration, probe func() sdk.Verdict) error {
	done := make(chan sdk.Verdict, 1)
	go func() { done <- probe() }() // waited for below, unless it is broken
	select {
	case <-done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("the probe was still running after %v; %s %v", limit, what, when)
	}
}

func refusedIsDown(ctx context.Context, c sdk.Checker, s Sample) error {
	s.Server = closedPort(s.Service.Network)
	return s.with(v4(), func(t sdk.Target) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		v := c.Probe(ctx, t, s.Options)
		if v.Status != sdk.StatusDown {
			return fmt.Errorf("got %s (%s), want down", v.Status, v.Reason)
		}
		return sound(v)
	})
}

func runsAtOnce(ctx context.Context, c sdk.Checker, s Sample) error {
	return s.with(v4(), func(t sdk.Target) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		errs := make([]error, crowd)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = wantUp(c.Probe(ctx, t, s.Options)) })
		}
		all.Wait()
		return errors.Join(errs...)
	})
}

func overIPv4(ctx context.Context, c sdk.Checker, s Sample) error { return over(ctx, v4(), c, s) }

func overIPv6(ctx context.Context, c sdk.Checker, s Sample) error {
	info, err := c.Describe(ctx)
	if err != nil || !info.IPv6 {
		return err
	}
	return over(ctx, netip.IPv6Loopback(), c, s)
}

func over(ctx context.Context, host netip.Addr, c sdk.Checker, s Sample) error {
	return s.with(host, func(t sdk.Target) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return wantUp(c.Probe(ctx, t, s.Options))
	})
}

func wantUp(v sdk.Verdict) error {
	if v.Status != sdk.StatusUp {
		return fmt.Errorf("got %s (%s: %s), want up", v.Status, v.Code, v.Reason)
	}
	return nil
}

func v4() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// with runs f with the sample's server at host; without a server it does nothing.
func (s Sample) with(host netip.Addr, f func(sdk.Target) error) error {
	if s.Server == nil {
		return nil
	}
	addr, stop, err := s.listen(host)
	if err != nil {
		return err
	}
	defer stop()
	return f(s.target(addr))
}

// listen starts the sample's server, or finds a closed port.
func (s Sample) listen(host netip.Addr) (netip.AddrPort, func(), error) {
	if s.Server == nil {
		return closedPort(s.Service.Network)(host)
	}
	return s.Server(host)
}

func (s Sample) target(addr netip.AddrPort) sdk.Target {
	return sdk.Target{Service: s.Service.Name, Addr: addr, Network: s.Service.Network}
}
