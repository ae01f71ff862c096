package notify

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// Mailing says who gets mail, from whom, and how.
type Mailing struct {
	To   []string // nobody: no mail
	From string   // the From header as it stands; "": the system's
	SMTP string   // host, or host:port, of a mail server; "": the local sendmail
}

// Section is what alerts have to know of a virtual service.
type Section struct {
	Mailing
	When    []Status               // in which mail is sent
	Every   time.Duration          // between repeats; 0: none
	Name    string                 // the servicename
	Comment string                 //
	Servers map[lvs.ServerKey]bool // its real servers
}

// Settings are what a configuration says of alerts. They are not changed once given to Alerts.
type Settings struct {
	Mailing                             // of what belongs to no section
	Sections map[lvs.ServiceKey]Section //
	Command  string                     // the notifycommand; "": none
	Webhook  string                     // a URL; "": none
}

// Alerts tells people and programs of changes (ldirectord(8), "emailalert", "notifycommand",
// "webhook"), and again while a real server stays down. It is the one owner of what is repeated.
type Alerts struct {
	log            *slog.Logger
	instance, host string
	sendmail       sendmail
	commands       *shells
	gather         time.Duration                                     // see gatherFor
	compose        func(m Mailing, batch []Alert, lost int) delivery // a mail
	poster         *http.Client

	over    context.Context // ends with what Close waits for
	cancel  context.CancelFunc
	hurry   chan struct{} // closed by Close
	running sync.WaitGroup
	wake    chan struct{} // holds a token when the next repeat may be due earlier than it was

	mu       sync.Mutex // guards the rest: the engine, reloads and the repeats share it
	status   Status
	settings Settings
	former   map[lvs.ServiceKey]Section // of the settings before
	routes   map[string]*outbox         // by the key of the mailing, or the URL
	down     map[place]*outage
}

// outage is a real server that is down.
type outage struct {
	alert Alert
	told  time.Time // last
}

// NewAlerts makes the sink; the daemon is Starting. Close ends it.
func NewAlerts(instance string, s Settings, log *slog.Logger) *Alerts {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	a := &Alerts{
		log: log, instance: instance, host: host, sendmail: sendmail{places: sendmailPlaces()},
		commands: newShells("notifycommand", log), hurry: make(chan struct{}), wake: make(chan struct{}, 1),
		poster: newPoster(), settings: s, routes: map[string]*outbox{}, down: map[place]*outage{},
	}
	a.over, a.cancel = context.WithCancel(context.Background())
	a.compose, a.gather = a.letter, gatherFor
	a.running.Go(a.repeat) // Close waits for it
	return a
}

// Enter says what the daemon is doing from now on; Stopping is for good.
func (a *Alerts) Enter(s Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status != Stopping {
		a.status = s
	}
}

// Status is what the daemon is doing.
func (a *Alerts) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// Configure goes over to other settings. It is called before the engine goes over to their
// configuration, whose last words about virtual services that leave are still theirs. What is down stays known.
func (a *Alerts) Configure(s Settings) {
	a.mu.Lock()
	a.former, a.settings = a.settings.Sections, s
	used := map[string]bool{s.Mailing.key(): true, s.Webhook: true}
	for _, section := range s.Sections {
		used[section.Mailing.key()] = true
	}
	for key, o := range a.routes {
		if !used[key] && o.idle() {
			delete(a.routes, key)
		}
	}
	a.mu.Unlock()
	a.recount()
}

// Forget drops the outages of real servers that the settings do not know: a reload removed them.
func (a *Alerts) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.former = nil
	for p := range a.down {
		if !a.settings.Sections[p.service].Servers[p.server] {
			delete(a.down, p)
		}
	}
}

// Take implements engine.Sink. It never blocks.
func (a *Alerts) Take(ts []state.Transition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range ts {
		if changeWord(t.Change) == "" {
			continue
		}
		alert := alertOf(t)
		p := place{t.Service, t.Server}
		if !t.Fallback {
			a.note(p, t.Change, alert)
		}
		a.tell(p.service, alert)
	}
}

// note keeps which real servers are down. The caller holds mu.
func (a *Alerts) note(p place, c state.Change, alert Alert) {
	switch c {
	case state.Deleted, state.Quiesced, state.ReaddedQuiescent:
		a.down[p] = &outage{alert: alert, told: alert.Time}
		a.recount()
	default:
		delete(a.down, p)
	}
}

// ReloadFailed tells that a reload changed nothing, and why: what is wrong, line by line.
func (a *Alerts) ReloadFailed(file, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(why), "\n")
	for i, line := range lines {
		lines[i] = printable(line, maxReason)
	}
	reason := strings.Join(lines, "\n")
	if len(reason) > maxReport {
		reason = strings.ToValidUTF8(reason[:maxReport], "") + "..."
	}
	alert := Alert{
		Time: time.Now(), Change: "reload-failed", Reason: reason,
		Text: "Failed reload of " + printable(file, maxText) + " changed nothing",
	}
	a.sign(&alert)
	a.mailTo(a.settings.Mailing, alert)
	a.broadcast(alert)
}

// tell sends an alert about a real server to all who want it. The caller holds mu.
func (a *Alerts) tell(k lvs.ServiceKey, alert Alert) {
	section, ok := a.settings.Sections[k]
	if !ok {
		section = a.former[k]
	}
	alert.ServiceName, alert.Comment = printable(section.Name, maxText), printable(section.Comment, maxReason)
	a.sign(&alert)
	if slices.Contains(section.When, a.status) {
		a.mailTo(section.Mailing, alert)
	}
	a.broadcast(alert)
}

// sign says whose alert it is. The caller holds mu.
func (a *Alerts) sign(alert *Alert) {
	alert.Instance, alert.Host, alert.Status = a.instance, a.host, a.status.String()
}

// mailTo queues an alert for a mailing. The caller holds mu.
func (a *Alerts) mailTo(m Mailing, alert Alert) {
	if len(m.To) == 0 {
		return
	}
	a.route(m.key(), func(o *outbox) {
		o.gather = a.gather
		o.name, o.together, o.log = "emailalert", true, a.log.With("to", strings.Join(m.To, ", "))
		o.prepare = func(batch []Alert, lost int) delivery { return a.compose(m, batch, lost) }
	}).add(alert)
}

// route returns the outbox of a route, which fill completes if it is new. The caller holds mu.
func (a *Alerts) route(key string, fill func(*outbox)) *outbox {
	o := a.routes[key]
	if o == nil {
		o = &outbox{over: a.over, hurry: a.hurry, running: &a.running}
		fill(o)
		a.routes[key] = o
	}
	return o
}

// broadcast gives an alert to programs. The caller holds mu.
func (a *Alerts) broadcast(alert Alert) {
	if a.settings.Command != "" {
		a.commands.add("", order{line: a.settings.Command, stdin: object(alert), log: a.log.With("alert", alert.named())})
	}
	if target := a.settings.Webhook; target != "" {
		a.route(target, func(o *outbox) {
			o.name, o.log, o.prepare = "webhook", a.log.With("host", hostOf(target)), a.post(target)
		}).add(alert)
	}
}

// recount has the repeats looked at anew.
func (a *Alerts) recount() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// repeat tells of outages again when their time comes. It ends with Close.
func (a *Alerts) repeat() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next := a.remind(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-a.hurry:
			return
		case <-timer.C:
		case <-a.wake:
		}
	}
}

// remind tells of the outages that are due, and returns when the next one is; zero for none.
func (a *Alerts) remind(now time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	var next time.Time
	for p, o := range a.down {
		every := a.settings.Sections[p.service].Every
		if every <= 0 || a.status == Stopping {
			continue
		}
		if at := o.told.Add(every); !at.After(now) {
			o.told = now
			a.tell(p.service, inaccessible(o.alert, now))
		}
		if at := o.told.Add(every); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Close delivers what waits, with one more try for what failed, and ends, at most until ctx ends.
// Nothing is to be taken afterwards.
func (a *Alerts) Close(ctx context.Context) {
	close(a.hurry)
	commands := make(chan struct{})
	go func() { // ends with ctx at the latest
		defer close(commands)
		a.commands.close(ctx)
	}()
	done := make(chan struct{})
	go func() { // ends when the outboxes do, which a.over bounds
		defer close(done)
		a.running.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	a.cancel()
	<-done
	<-commands
}
