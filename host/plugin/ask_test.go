package plugin

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// freeze stops the only process of p, as an operator, a debugger or a cgroup may.
func freeze(t *testing.T, p *Pool) (pid int) {
	t.Helper()
	pid = p.Status()[0].PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // it is gone when all is well
	return pid
}

// busy is a pool whose plugin good has a check and runs.
func busy(t *testing.T, change func(*Options)) (*Pool, *Runner, *logBuffer) {
	t.Helper()
	p, log := newPool(t, change)
	r := runner(t, p, "good")
	r.Register(1, target("good"), nil)
	until(t, r, 1, isUp)
	return p, r, log
}

func reload(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// wrong fails the test unless the plugin finds fault with the option, and with nothing else.
func wrong(t *testing.T, err error, option string) {
	t.Helper()
	if oe, ok := errors.AsType[*sdk.OptionError](err); !ok || oe.Option != option {
		t.Errorf("option %s: got %v", option, err)
	}
}

// A plugin that is frozen says nothing about a configuration: another process of it does, in bounded
// time, and the supervisor learns of it.
func TestFrozenPluginRefusesNoConfiguration(t *testing.T) {
	t.Parallel()
	p, r, log := busy(t, nil)
	pid := freeze(t, p)
	ctx := reload(t)
	if info, err := p.Describe(ctx, "good"); err != nil || info.Name != "good" {
		t.Errorf("%+v, %v", info, err)
	}
	if err := p.Validate(ctx, "good", sdk.Options{"act": "up"}); err != nil {
		t.Errorf("good options: %v", err)
	}
	wrong(t, p.Validate(ctx, "good", sdk.Options{"actt": "up"}), "actt")
	if n := strings.Count(log.String(), "plugin gave no answer"); n == 0 {
		t.Errorf("nothing in the log")
	}
	for deadline := time.Now().Add(5 * time.Second); p.Status()[0].Restarts == 0; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no probe hangs in it, yet its supervisor must notice: %+v", p.Status())
		}
	}
	until(t, r, 1, isUp)
	if s := p.Status(); len(s) != 1 || s[0].PID == pid || s[0].Restarts != 1 || !strings.Contains(s[0].LastError, "hangs") {
		t.Errorf("%+v", s)
	}
}

// A plugin that died, and is not to be started again for long, answers all the same.
func TestPausingPluginRefusesNoConfiguration(t *testing.T) {
	t.Parallel()
	p, r, _ := busy(t, func(o *Options) { o.timing.first, o.timing.longest = time.Hour, time.Hour })
	r.Register(2, target("good"), sdk.Options{"act": "die"})
	r.Start(due(5*time.Second, 2))
	collect(t, r, 1)
	if err := p.Validate(reload(t), "good", sdk.Options{"act": "up"}); err != nil {
		t.Error(err)
	}
	wrong(t, p.Validate(reload(t), "good", sdk.Options{"actt": "up"}), "actt")
	if s := p.Status(); len(s) != 1 || s[0].State != "failed" {
		t.Errorf("its own process waits on: %+v", s)
	}
}

// When no process answers, the error blames the plugin, in the time that there is.
func TestNoAnswerIsThePluginsFault(t *testing.T) {
	t.Parallel()
	for act, says := range map[string]string{
		"validate-mute": "no answer in time",
		"validate-exit": "the connection to its process broke",
	} {
		t.Run(act, func(t *testing.T) {
			t.Parallel()
			p, _, log := busy(t, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			err := p.Validate(ctx, "good", sdk.Options{"act": act, "passwd": "sesame"})
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if _, blamed := errors.AsType[*sdk.OptionError](err); err == nil || blamed {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{"the plugin is at fault, not the configuration", says, "another process of it", plugins} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
			if n := strings.Count(log.String(), "plugin started"); n < 2 {
				t.Errorf("%d processes", n)
			}
		})
	}
}

// Whatever comes of a probe, it is made once, and in all of its time.
func TestProbeIsMadeOnce(t *testing.T) {
	t.Parallel()
	p, _, log := busy(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if v := p.Probe(ctx, target("good"), sdk.Options{"act": "wait"}); v.Reason != "waited" {
		t.Errorf("%+v", v)
	}
	if v := p.Probe(reload(t), target("good"), sdk.Options{"act": "die"}); v.Status != sdk.StatusUnknown {
		t.Errorf("%+v", v)
	}
	if strings.Contains(log.String(), "another process") {
		t.Error("it was made twice")
	}
}
