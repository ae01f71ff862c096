package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Describe says what the plugin of service is. It starts the plugin when need be.
func (p *Pool) Describe(ctx context.Context, service string) (sdk.Info, error) {
	var info sdk.Info
	err := p.ask(ctx, service, func(_ context.Context, s *session) error {
		info = s.info
		return nil
	})
	return info, err
}

// Validate asks the plugin of service whether it could check with these options. The
// error is as for sdk.Checker.
func (p *Pool) Validate(ctx context.Context, service string, o sdk.Options) error {
	return p.ask(ctx, service, func(ctx context.Context, s *session) error { return s.client.Validate(ctx, service, o) })
}

// Probe runs one check, once: for a human.
func (p *Pool) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	v := sdk.Verdict{}
	err := p.ask(ctx, t.Service, func(_ context.Context, s *session) error {
		v = s.client.Probe(ctx, t, o) // in all of its time, and not again: whatever comes is the answer
		return nil
	})
	if err != nil {
		return sdk.Unknown("%v", err)
	}
	return v
}

// question is put to a running plugin, perhaps to two processes of it one after the other. An error
// without an sdk.OptionError means that there was no answer.
type question func(context.Context, *session) error

// fault is that of a process, and says nothing about what it was asked.
type fault struct {
	cause error
	asked bool // it ran, and gave no answer; else it did not run
}

func (f *fault) Unwrap() error { return f.cause }

func (f *fault) Error() string {
	if !f.asked {
		return f.cause.Error()
	}
	return "the plugin is at fault, not the configuration: " + f.cause.Error()
}

// ask puts q to the process of service that runs, or is started now. A configuration must not be
// refused for what has befallen a process: another one, of its own, answers when that one fails to.
// So it does when the binary was replaced since: a configuration can be tried against an upgraded
// plugin while the old one still runs. It all takes no longer than ctx allows.
func (p *Pool) ask(ctx context.Context, service string, q question) error {
	b, err := p.find(service)
	if err != nil {
		return err
	}
	one, err := p.anyProcess(b)
	if err != nil {
		return err
	}
	if one.binary().id != b.id {
		return p.askAnother(ctx, b, service, q)
	}
	fresh := one.resting()
	err = one.put(ctx, service, p.briefly(q))
	first, failed := errors.AsType[*fault](err)
	if failed && first.asked {
		nudge(one.hung) // its supervisor looks whether it hangs
	}
	if !failed || fresh || ctx.Err() != nil {
		return err
	}
	one.log.Warn("plugin gave no answer: asking another process of it", "error", one.secrets.redact(first.cause.Error()))
	err = p.askAnother(ctx, b, service, q)
	if second, failed := errors.AsType[*fault](err); failed {
		return &fault{fmt.Errorf("%w; another process of it: %w", first.cause, second.cause), true}
	}
	return err
}

// askAnother puts q to a process that is started for it alone.
func (p *Pool) askAnother(ctx context.Context, b binary, service string, q question) error {
	one := newProcess(p, processKey{path: b.real}, b)
	defer one.close()
	return one.put(ctx, service, q)
}

// briefly is q with as much time as a process has that must show that it does not hang, and at most
// half of what there is: the rest is for another process, and its start.
func (p *Pool) briefly(q question) question {
	return func(ctx context.Context, s *session) error {
		patience := p.o.timing.ping
		if at, ok := ctx.Deadline(); ok {
			patience = min(patience, time.Until(at)/2)
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return q(ctx, s)
	}
}

// resting says that nobody has needed the process of late: it starts for who does now.
func (p *process) resting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase == idle
}

// put asks the process, once it runs. That it gives no answer is a fault.
func (p *process) put(ctx context.Context, service string, q question) error {
	s, err := p.acquire(ctx)
	switch {
	case errors.Is(err, errClosed):
		return err
	case err != nil:
		return &fault{err, false}
	}
	if !serves(s.info, service) {
		return fmt.Errorf("plugin %s does not serve %s: it serves %s", p.binary().path, service, serviceNames(s.info))
	}
	err = q(ctx, s)
	if _, answered := errors.AsType[*sdk.OptionError](err); err == nil || answered {
		return err
	}
	return &fault{p.named(err), true}
}

func serves(i sdk.Info, service string) bool {
	return slices.ContainsFunc(i.Services, func(s sdk.Service) bool { return s.Name == service })
}

func serviceNames(i sdk.Info) string {
	var names []string
	for _, s := range i.Services {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}
