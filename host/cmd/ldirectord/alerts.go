package main

import (
	"context"
	"net/mail"
	"net/url"
	"regexp"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/notify"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// settingsOf is what a configuration says of alerts.
func settingsOf(cfg *config.Config) notify.Settings {
	g := cfg.Global
	s := notify.Settings{
		Mailing:  notify.Mailing{To: g.EmailAlert, From: g.EmailFrom, SMTP: g.SMTP},
		Sections: make(map[lvs.ServiceKey]notify.Section, len(cfg.Services)),
		Command:  g.NotifyCommand, Webhook: g.Webhook,
	}
	for i := range cfg.Services {
		v := &cfg.Services[i]
		section := notify.Section{
			Mailing: notify.Mailing{To: v.EmailAlert, From: v.EmailFrom, SMTP: v.SMTP},
			When:    statuses(v.EmailStatus), Every: v.EmailFreq, Name: v.ServiceName, Comment: v.Comment,
			Servers: make(map[lvs.ServerKey]bool, len(v.Servers)),
		}
		if v.CheckType == config.Off {
			section.Every = 0 // it is out because it is to be out
		}
		for j := range v.Servers {
			if r := &v.Servers[j]; !r.Unresolved {
				section.Servers[r.Key] = true
			}
		}
		if !v.Unresolved {
			s.Sections[v.Key] = section
		}
	}
	return s
}

func statuses(set config.EmailStatus) []notify.Status {
	var out []notify.Status
	for _, one := range []struct {
		bit    config.EmailStatus
		status notify.Status
	}{
		{config.EmailStarting, notify.Starting}, {config.EmailRunning, notify.Running},
		{config.EmailStopping, notify.Stopping}, {config.EmailReloading, notify.Reloading},
	} {
		if set&one.bit != 0 {
			out = append(out, one.status)
		}
	}
	return out
}

// localPart is a mailbox of this machine, such as root.
var localPart = regexp.MustCompile(`^[A-Za-z0-9._+-]+$`)

func isAddress(text string) bool {
	_, err := mail.ParseAddress(text)
	return err == nil || localPart.MatchString(text)
}

// alertProblems says what is wrong with who is to be told: a webhook that cannot be one, and
// addresses that a mail server will hardly accept, which have always been let pass.
func alertProblems(cfg *config.Config) (errs, warnings []config.Problem) {
	if text := cfg.Global.Webhook; text != "" {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, config.Problem{
				Pos: cfg.Global.Origins["webhook"], Directive: "webhook", Want: "no URL, expected one that begins with http:// or https:// and a host",
			})
		}
	}
	told := map[config.Pos]bool{}
	look := func(list []string, origins map[string]config.Pos) {
		pos := origins["emailalert"]
		for _, one := range list {
			if isAddress(one) || told[pos] {
				continue
			}
			told[pos] = true
			warnings = append(warnings, config.Problem{Pos: pos, Directive: "emailalert", Found: one, Want: "an e-mail address"})
		}
	}
	look(cfg.Global.EmailAlert, cfg.Global.Origins)
	if from := cfg.Global.EmailFrom; from != "" && !isAddress(from) {
		warnings = append(warnings, config.Problem{
			Pos: cfg.Global.Origins["emailalertfrom"], Directive: "emailalertfrom", Found: from, Want: `an e-mail address, as in lb@example.com or "LB alerts" <lb@example.com>`,
		})
	}
	for i := range cfg.Services {
		look(cfg.Services[i].EmailAlert, cfg.Services[i].Origins)
	}
	return errs, warnings
}

// startAlerts makes the sinks for people. A dry run tells nobody: nothing has happened.
func (d *director) startAlerts(cfg *config.Config) {
	var settings notify.Settings
	if !d.dryRun {
		settings = settingsOf(cfg)
		d.monitorFiles = notify.NewMonitorFiles(d.log)
	}
	d.alerts = notify.NewAlerts(d.paths.Instance, settings, d.log)
}

// takeOver has the engine go over to cfg, and the alerts with it, or neither. The caller holds
// reloading.
func (d *director) takeOver(ctx context.Context, cfg *config.Config) error {
	if d.dryRun {
		return d.engine.Reload(ctx, cfg)
	}
	d.alerts.Enter(notify.Reloading)
	d.alerts.Configure(settingsOf(cfg))
	if err := d.engine.Reload(ctx, cfg); err != nil {
		d.alerts.Configure(settingsOf(d.current.Load()))
		return err
	}
	d.alerts.Forget()
	return nil
}

// watchSettled has the daemon be running once every virtual service has its first verdicts, or has waited
// long enough for them: until then it is still starting, or reloading. It ends with ctx.
func (d *director) watchSettled(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if d.alerts.Status() == notify.Running || !d.reloading.TryLock() {
			continue
		}
		settled := true
		for _, s := range d.engine.Snapshot().Services {
			settled = settled && !s.Settling
		}
		if settled {
			d.alerts.Enter(notify.Running)
		}
		d.reloading.Unlock()
	}
}

// closeAlerts delivers what waits to be, beside what else ends; the function returned waits for it.
func (d *director) closeAlerts() (wait func()) {
	if d.alerts == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() { // wait waits for it
		defer close(done)
		if d.monitorFiles != nil {
			within(monitorFileLimit, d.monitorFiles.Close)
		}
		within(alertLimit, d.alerts.Close)
	}()
	return func() { <-done }
}

// observed takes observations of virtual services with a monitorfile.
func (d *director) observed() func([]state.Sighting) {
	if d.monitorFiles == nil {
		return nil
	}
	return d.monitorFiles.Seen
}
