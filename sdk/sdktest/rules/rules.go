// Package rules is what every check has to keep, whoever wrote it and in whichever
// language: the conformance suite without a test framework, so that a command can try it on a
// finished plugin as package sdktest does on a check under development.
//
// A Rule is tried on an sdk.Checker; see Rules. A Binary is a finished plugin; its Test tries all
// of them, each with a process of its own, and those that only a process can break.
package rules

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Sample is a configuration of the check, and a server that deserves Up from it.
type Sample struct {
	Service sdk.Service
	// Options that Validate accepts.
	Options sdk.Options
	// Server deserves Up; nil: there is none, and rules are content with Down from a closed
	// port where they would have wanted Up.
	Server Server
	// Logged gives what the check has logged so far; nil: nobody listens to that.
	Logged func() string
}

// Rule is something that every check has to keep.
type Rule struct {
	Name string // a word or two, fit for a test's name
	Why  string // one line
	// NeedsStream says that Try wants a Checker that is a Runner too.
	NeedsStream bool
	// Try gives back how the rule is broken. It is nil in rules that only a Binary can break.
	Try func(ctx context.Context, c sdk.Checker, s Sample) error
}

// patience is what a check may take beyond its deadline or its cancellation: enough for a
// busy machine, less than the second after which a director cuts it off.
const patience = 700 * time.Millisecond

// crowd is how many probes the rule "at-once" runs together.
const crowd = 32

// Rules lists all that can be tried on a Checker.
func Rules() []Rule {
	return []Rule{
		{"description", "an operator learns from it what can be configured", false, describes},
		{"unknown-option", "a typing error in a configuration must not pass silently", false, refusesUnknown},
		{"missing-option", "what is required is missed when the file is read, not at night", false, refusesMissing},
		{"malformed-option", "a number that is none is refused when the file is read", false, refusesMalformed},
		{"unknown-service", "a link with a wrong name must not pass silently", false, refusesService},
		{"offline", "configurations are validated on machines that reach no server", false, validatesOffline},
		{"refused", "a closed port is the plainest Down there is", false, refusedIsDown},
		{"black-hole", "a server that lets packets vanish is Down by the deadline", false, blackHoleIsDown},
		{"deadline", "a server that says nothing must not hold a check longer than its timeout", false, keepsDeadline},
		{"cancel", "a check that nobody waits for must end", false, keepsCancel},
		{"garbage", "a server that talks nonsense is not a fault of the check: it is never Unknown", false, judgesGarbage},
		{"at-once", "a director runs many probes at the same time", false, runsAtOnce},
		{"ipv4", "real servers have IPv4 addresses", false, overIPv4},
		{"ipv6", "a check that says it can do IPv6 must", false, overIPv6},
		{"secrets", "verdicts and logs are read by people who must not know passwords", false, keepsSecrets},
		{"one-verdict", "each probe that was started yields one verdict, not two and not none", true, answersOnce},
		{"forget", "a reload forgets checks and registers others while probes are in flight", true, forgets},
		{"batch", "a large site has thousands of checks that may be due together", true, takesBatches},
	}
}

func wantUp(v sdk.Verdict) error {
	if v.Status != sdk.StatusUp {
		return fmt.Errorf("got %s (%s: %s), want up", v.Status, v.Code, v.Reason)
	}
	return nil
}

func wantDown(v sdk.Verdict) error {
	if v.Status != sdk.StatusDown {
		return fmt.Errorf("got %s (%s), want down", v.Status, v.Reason)
	}
	return Sound(v)
}

// Sound says what is wrong with a verdict whatever it is about.
func Sound(v sdk.Verdict) error {
	switch {
	case v.Status != sdk.StatusUp && v.Reason == "":
		return fmt.Errorf("%s without a reason helps no operator", v.Status)
	case v.Status == sdk.StatusDown && v.Code == sdk.CodeOK:
		return fmt.Errorf("down without a code (%s)", v.Reason)
	case strings.ContainsAny(v.Reason, "\r\n"):
		return fmt.Errorf("the reason %q has more than one line", v.Reason)
	}
	return nil
}

// Localhost is where samples listen.
func Localhost() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// with runs f with a server at host.
func (s Sample) with(server Server, host netip.Addr, f func(sdk.Target) error) error {
	s.Server = server
	addr, stop, err := s.Listen(host)
	if err != nil {
		return err
	}
	defer stop()
	return f(s.Target(addr))
}

// healthy is the sample's server at host and what it deserves; without one, or when it cannot be
// there, a closed port, which deserves Down.
func (s Sample) healthy(host netip.Addr, f func(t sdk.Target, judge func(sdk.Verdict) error) error) error {
	server, judge := s.Server, wantUp
	if server != nil {
		addr, stop, err := server(host)
		if err == nil {
			defer stop()
			return f(s.Target(addr), judge)
		}
		if host.Is4() {
			return err
		}
	}
	server, judge = ClosedPort(s.Service.Network), wantDown
	return s.with(server, host, func(t sdk.Target) error { return f(t, judge) })
}

// Listen starts the sample's server at host, or finds a closed port when there is none.
func (s Sample) Listen(host netip.Addr) (netip.AddrPort, func(), error) {
	if s.Server == nil {
		return ClosedPort(s.Service.Network)(host)
	}
	return s.Server(host)
}

// Target of the sample's service at addr.
func (s Sample) Target(addr netip.AddrPort) sdk.Target {
	return sdk.Target{Service: s.Service.Name, Addr: addr, Network: s.Service.Network}
}
