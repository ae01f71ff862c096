package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/host/control"
	"github.com/ldirectord/ldirectord/host/monitor"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// Exit codes of probe besides 0, up, and 2, a configuration that cannot be used, or names that it does not have.
const (
	exitDown    = 1
	exitUnknown = 3 // it cannot be told, or nothing is checked
)

var errProbeUsage = errors.New("usage: ldirectord [configfile] probe [--json] [--connect] [--line NUMBER] [--record FILE [--secrets]] VIRTUAL REAL")

// probeOrder is a command line of `probe`.
type probeOrder struct {
	virtual, real string
	line          int  // of the configuration; 0: any
	connect       bool // of checktype = N, the connect check
	machine       bool
	recordOrder
}

func parseProbe(args []string) (probeOrder, error) {
	var o probeOrder
	flags := pflag.NewFlagSet("probe", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.machine, "json", false, "")
	flags.BoolVar(&o.connect, "connect", false, "")
	flags.IntVar(&o.line, "line", 0, "")
	flags.StringVar(&o.path, "record", "", "")
	flags.BoolVar(&o.secrets, "secrets", false, "")
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("%w\n%w", err, errProbeUsage)
	}
	if flags.NArg() != 2 || o.secrets && o.path == "" {
		return o, errProbeUsage
	}
	o.virtual, o.real = flags.Arg(0), flags.Arg(1)
	return o, nil
}

// probe runs one check of the configuration now, as the daemon would, and prints what it said.
// It changes nothing, and needs no daemon.
func (a *app) probe() int {
	order, err := parseProbe(a.in.args)
	if err != nil {
		a.complainLines("ldirectord: " + err.Error())
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	defer stop()
	runDir, err := a.paths().Scratch()
	if err != nil {
		a.complain("%v", err)
		return exitUnknown
	}
	k := newKinds(runDir, slog.New(slog.DiscardHandler))
	defer func() {
		within(pluginLimit, k.close)
		if err := os.RemoveAll(runDir); err != nil {
			a.complain("%v", err)
		}
	}()
	cfg, err := a.probeConfig(ctx, k)
	switch {
	case err != nil && ctx.Err() != nil:
		a.complain("%v", context.Cause(ctx))
		return exitUnknown
	case err != nil:
		return a.refuse(err)
	}
	found, err := findProbe(cfg, order)
	if err != nil {
		a.complainLines("ldirectord: " + err.Error())
		return exitConfig
	}
	report := found.report()
	if found.check != nil || order.path != "" {
		v, err := order.run(ctx, k, found)
		if err != nil {
			a.complain("%v", err)
			return exitUnknown
		}
		take(&report, found.redact(v))
	}
	return a.printProbe(report, order.machine)
}

// probeConfig reads the configuration as a daemon that starts does: names that do not resolve have
// the addresses that the state file remembers.
func (a *app) probeConfig(ctx context.Context, k *kinds) (*config.Config, error) {
	path, err := absolute(a.in.file)
	if err != nil {
		return nil, err
	}
	d := &director{paths: a.paths(), path: path, kinds: k, log: k.log}
	d.paths.Plugins = k.runDir
	return d.readFirst(ctx)
}

// once runs one probe of a check, by the runner that the daemon has for its kind. It ends with ctx.
func (k *kinds) once(ctx context.Context, c state.Check) sdk.Verdict {
	r, err := k.runner(c.Kind, "") // a process of its own is what the plugin has anyway: c.Pool changes nothing
	if err != nil {
		return sdk.Unknown("%v", err)
	}
	const id = 1
	ctx, cancel := context.WithTimeout(ctx, c.Timeout+monitor.Grace)
	defer cancel()
	r.Register(id, c.Target, c.Options)
	r.Start([]sdk.Due{{ID: id, Remaining: c.Timeout}})
	select {
	case batch := <-r.Results():
		for _, result := range batch {
			return result.Verdict
		}
		return sdk.Unknown("the %s checker was shut down", c.Kind)
	case <-ctx.Done():
		r.Forget(id)
		return sdk.Unknown("the probe was ended: %v", context.Cause(ctx))
	}
}

// printProbe prints the report, and turns its status into the exit code.
func (a *app) printProbe(r cli.ProbeReport, machine bool) int {
	show := r.Text
	if machine {
		show = r.JSON
	}
	if err := show(a.out); err != nil {
		a.complain("%v", err)
		return exitUnknown
	}
	switch r.Status {
	case sdk.StatusUp.String():
		return exitOK
	case sdk.StatusDown.String():
		return exitDown
	default:
		return exitUnknown
	}
}

// report is what is known before the probe.
func (f probeFound) report() cli.ProbeReport {
	r := cli.ProbeReport{
		Virtual: f.service.Virtual, Protocol: f.service.Key.Protocol.String(), IPv6: f.service.Key.Family == lvs.IPv6,
		Real: f.real, Note: f.note, Status: cli.Unchecked, At: time.Now(),
	}
	if c := f.check; c != nil {
		r.Kind, r.Address, r.Network = c.Kind, c.Target.Addr.String(), c.Target.Network
		if c.Kind == state.KindPing {
			r.Address, r.Network = c.Target.Addr.Addr().String(), ""
		}
		r.Timeout, r.Lines = c.Timeout.Seconds(), c.Lines
	}
	return r
}

// take fills in what the probe said.
func take(r *cli.ProbeReport, v sdk.Verdict) {
	r.Status, r.Code, r.Reason, r.Weight = v.Status.String(), string(v.Code), v.Reason, v.Weight
	for _, p := range v.Phases {
		r.Phases = append(r.Phases, control.Phase{Name: p.Name, Seconds: p.Took.Seconds()})
	}
	if v.Transcript != "" {
		r.Transcript = strings.Split(v.Transcript, "\n")
	}
}

// redact removes what a check let slip: its secret options, in base64 as HTTP and SMTP have them
// too, and the userinfo of URLs.
func (f probeFound) redact(v sdk.Verdict) sdk.Verdict {
	var secrets []string
	for name := range f.secrets {
		if s := f.check.Options[name]; s != "" {
			secrets = append(secrets, s, base64.StdEncoding.EncodeToString([]byte(s)))
		}
	}
	// The longer one first: it may hold the shorter.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	clean := func(text string) string {
		for _, s := range secrets {
			text = strings.ReplaceAll(text, s, "***")
		}
		return config.HideUserinfo(text)
	}
	v.Reason, v.Transcript, v.Code = clean(v.Reason), clean(v.Transcript), sdk.Code(clean(string(v.Code)))
	v.Phases = slices.Clone(v.Phases)
	for i := range v.Phases {
		v.Phases[i].Name = clean(v.Phases[i].Name)
	}
	return v
}
