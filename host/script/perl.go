package script

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/ldirectord/ldirectord/host/builtin"
	"github.com/ldirectord/ldirectord/sdk"
)

// Perl runs checks of checktype = external-perl: Perl scripts in interpreters that are kept from
// call to call, and with them what scripts keep in variables. All checks of one script share an
// interpreter, and take turns. Only when turns come too late are they spread over several.
type Perl struct {
	*builtin.Pool
	checker *perlChecker
}

// PerlOptions are those of NewPerl. Zero values but that of Log are usable.
type PerlOptions struct {
	Log *slog.Logger // for what scripts print
	Max int          // interpreters; 0: 4
}

// NewPerl makes the runner. The error says that there is no perl. Close ends it.
func NewPerl(o PerlOptions) (*Perl, error) {
	path, err := FindPerl()
	if err != nil {
		return nil, err
	}
	c := newPerlChecker(path, o)
	return &Perl{builtin.Runner(c, builtin.Options{}), c}, nil
}

// Close ends all interpreters and waits for them, at most until ctx ends.
func (p *Perl) Close(ctx context.Context) error {
	p.checker.interrupt()
	err := p.Pool.Close(ctx)
	p.checker.clear()
	p.checker.launcher.close(ctx.Done())
	return err
}

// limits of an interpreter.
const (
	defaultInterpreters = 4
	maxCalls            = 10_000    // then it makes place for a new one
	maxResident         = 128 << 20 // bytes, looked at after a call
	idleFor             = time.Hour
	overtime            = 300 * time.Millisecond // what a call may take beyond its time before KILL
	retireGrace         = time.Second
)

type perlChecker struct {
	launcher *launcher
	perl     string
	log      *slog.Logger
	limits   perlLimits
	slots    slots
}

// perlLimits are the limits of interpreters; tests have smaller ones.
type perlLimits struct {
	calls    uint64
	resident int64
	idle     time.Duration
}

func newPerlChecker(perl string, o PerlOptions) *perlChecker {
	if o.Max <= 0 {
		o.Max = defaultInterpreters
	}
	c := &perlChecker{launcher: newLauncher(), perl: perl, log: o.Log}
	c.limits = perlLimits{maxCalls, maxResident, idleFor}
	c.slots = newSlots(o.Max, o.Log)
	return c
}

// Describe names the check. It has no services of its own, since it is a check type.
func (*perlChecker) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "external-perl", Summary: "a Perl script says so", IPv6: true}, nil
}

// Validate looks at the command alone: whether the script is there is found out when it is run.
func (c *perlChecker) Validate(_ context.Context, service string, o sdk.Options) error {
	_, err := c.Prepare(service, o)
	return err
}

// Probe runs the script once.
func (c *perlChecker) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	probe, err := c.Prepare(t.Service, o)
	if err != nil {
		return sdk.Unknown("%v", err)
	}
	return probe(ctx, t)
}

// Prepare reads the command, once for all probes of a check.
func (c *perlChecker) Prepare(_ string, o sdk.Options) (func(context.Context, sdk.Target) sdk.Verdict, error) {
	what, err := orderOf(o)
	if err != nil {
		return nil, err
	}
	s := &perlScript{checker: c, order: what}
	return s.probe, nil
}

// perlScript is the script of one check.
type perlScript struct {
	checker *perlChecker
	order
	moved *slot // where it runs instead of where its script does; guarded by slots.mu
}

func (s *perlScript) probe(ctx context.Context, t sdk.Target) sdk.Verdict {
	began := time.Now()
	budget := budgetOf(ctx, began)
	slot := s.checker.slots.take(ctx, turn{script: s.command.Path, user: s.who.name, check: s, patience: budget / 10})
	if slot == nil {
		return sdk.Unknown("no interpreter was free for %s within %v", shown(s.command.Path), rounded(budget))
	}
	defer slot.give()
	deadline := began.Add(budget)
	waited := time.Since(began)
	if err := slot.ready(s.checker, s.who, deadline); err != nil {
		return sdk.Unknown("perl cannot be started: %v", err)
	}
	// A script that hangs, and takes its interpreter with it, needs a new one each time: that alone must
	// not keep it from ever being down.
	if ready := time.Since(began); ready > budget/2 {
		waited = ready
	}
	return fair(s.call(slot, t, budget, deadline), waited, budget)
}

// call makes the call in the slot's interpreter, and throws that away if it must.
func (s *perlScript) call(slot *slot, t sdk.Target, budget time.Duration, deadline time.Time) sdk.Verdict {
	i := slot.interpreter
	f := factsOf(t)
	args := append(append([]string{}, s.command.Args...), f.arguments()...)
	got, err := i.call(s.command.Path, args, f.environment(budget), time.Until(deadline), deadline.Add(overtime))
	last := i.speech.line()
	switch {
	case err == nil:
		if got.word == "late" { // what the script started in vain goes, the interpreter stays
			s.checker.launcher.hunt.end(i.mark, i.pid)
		}
		slot.renew(s.checker)
		return s.judge(got, budget, last)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.checker.launcher.later(slot.without().discard)
		return late(budget, last)
	case errors.Is(err, errEnded):
		i.within(time.Until(deadline)) // it may have become another program
		slot.without().discard()
		last = i.speech.line() // the reading has ended
		return sdk.DownWith(sdk.CodeStatus, "%v: %s%s", errEnded, howEnded(i.err), said(last))
	default:
		slot.without().discard()
		return sdk.Unknown("perl: %v", err)
	}
}

func howEnded(err error) string {
	code, signal, ok := exitCode(err)
	if !ok {
		return signal
	}
	return fmt.Sprintf("exit code %d", code)
}

// judge is the verdict for an answer.
func (s *perlScript) judge(got answer, budget time.Duration, last string) sdk.Verdict {
	switch got.word {
	case "exit":
		code, err := strconv.ParseFloat(got.text, 64)
		if err != nil || code != float64(int(code)) {
			return sdk.DownWith(sdk.CodeStatus, "exit code %s%s", shown(got.text), said(last))
		}
		return judge(int(code), s.weighs, last)
	case "late":
		return late(budget, last)
	case "die":
		return sdk.DownWith(sdk.CodeStatus, "died%s", said(firstLine(got.text)))
	default:
		return sdk.Unknown("%s cannot be read%s", shown(s.command.Path), said(got.text))
	}
}
