package rules

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
)

// Binary is a finished plugin in whatever language, and what to try it with. The zero value of
// everything but Path is usable.
type Binary struct {
	Path string
	// Launch says how to start it, with its log; nil: as ourselves with an empty environment.
	Launch func(log client.Logger) (client.Launch, error)
	// Service to try; empty: all that it describes.
	Service string
	// Options of the sample. What is required and not among them is guessed.
	Options sdk.Options
	// Servers that deserve Up, reached over their own address families; none: rules are content
	// with Down from closed ports.
	Servers []netip.AddrPort
}

// State is what became of a rule.
type State uint8

// The three states.
const (
	NotTried State = iota
	Kept
	Broken
)

// String returns "not tried", "kept" or "broken".
func (s State) String() string {
	return [...]string{"not tried", "kept", "broken"}[s]
}

// Outcome is what became of one rule.
type Outcome struct {
	Rule  Rule // Name and Why
	State State
	Text  string // one line: how it is broken, or why it was not tried
	Took  time.Duration
}

// The rules that only a Binary can break.
var (
	starts   = Rule{Name: "starts", Why: "a plugin shakes hands on its standard output, and says nothing there before that"}
	stdout   = Rule{Name: "stdout", Why: "standard output belongs to the handshake; the log is for the rest"}
	survives = Rule{Name: "survives", Why: "one bad server must not end the checks of all others"}
	byHand   = Rule{Name: "by-hand", Why: "whoever finds the file and runs it learns what it is"}
	hostGone = Rule{Name: "host-gone", Why: "a plugin that outlives its director probes on for nobody"}
)

// BinaryRules lists all that Test tries, in its order.
func BinaryRules() []Rule {
	return append(append([]Rule{starts}, Rules()...), stdout, survives, byHand, hostGone)
}

// Test tries all rules and tells each outcome as soon as it is known. Each rule has a process
// of its own: one that ends badly spoils no other.
func (b Binary) Test(ctx context.Context, each func(Outcome)) {
	t := &trial{binary: b, each: each}
	began := time.Now()
	info, err := t.describe(ctx)
	t.tell(starts, err, began)
	if err != nil {
		for _, r := range BinaryRules()[1:] {
			each(Outcome{Rule: r, Text: "it does not start"})
		}
		return
	}
	t.samples(ctx, info)
	for _, r := range Rules() {
		t.rule(ctx, r)
	}
	t.tell(stdout, errors.Join(t.printed...), time.Now())
	t.tell(survives, errors.Join(t.died...), time.Now())
	began = time.Now()
	t.tell(byHand, t.runByHand(ctx, info), began)
	began = time.Now()
	t.tell(hostGone, t.leaveAlone(ctx), began)
}

// trial is one Test.
type trial struct {
	binary  Binary
	each    func(Outcome)
	tried   []Sample
	skipped []string // services without usable options, and why
	printed []error  // on standard output
	died    []error
}

// tell reports err, or that the rule is kept.
func (t *trial) tell(r Rule, err error, began time.Time) {
	o := Outcome{Rule: r, State: Kept, Took: time.Since(began)}
	if err != nil {
		o.State, o.Text = Broken, oneLine(err)
	}
	t.each(o)
}

// oneLine words joined errors, each once.
func oneLine(err error) string {
	var lines []string
	seen := map[string]bool{}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// rule tries r with every sample.
func (t *trial) rule(ctx context.Context, r Rule) {
	began := time.Now()
	var errs []error
	judged := false
	for _, s := range t.tried {
		p, err := t.open(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.Logged = p.log.text
		err = r.Try(ctx, p, s)
		if died := p.end(ctx); died != nil {
			t.died = append(t.died, fmt.Errorf("during %s: %w", r.Name, died))
			continue // what it said while it died is no answer
		}
		judged = true
		if text := p.printed(); text != "" {
			t.printed = append(t.printed, fmt.Errorf("during %s it printed %q", r.Name, text))
		}
		if err != nil && len(t.tried) > 1 {
			err = fmt.Errorf("service %s: %s", s.Service.Name, oneLine(err))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil || judged {
		t.tell(r, err, began)
		return
	}
	why := strings.Join(t.skipped, "; ")
	if why == "" {
		why = "the process died"
	}
	t.each(Outcome{Rule: r, Text: why, Took: time.Since(began)})
}

// describe starts it for the first time.
func (t *trial) describe(ctx context.Context) (sdk.Info, error) {
	p, err := t.open(ctx)
	if err != nil {
		return sdk.Info{}, err
	}
	defer p.end(ctx)
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	info, err := p.Describe(limited)
	if err == nil && len(info.Services) == 0 {
		err = errors.New("it serves nothing")
	}
	return info, err
}

// launch says how to start it.
func (t *trial) launch(log client.Logger) (client.Launch, error) {
	if t.binary.Launch != nil {
		return t.binary.Launch(log)
	}
	path, err := filepath.Abs(t.binary.Path)
	return client.Launch{Cmd: exec.Command(path), Logger: log}, err
}

// samples finds options for each service.
func (t *trial) samples(ctx context.Context, info sdk.Info) {
	p, err := t.open(ctx)
	if err != nil {
		t.skipped = append(t.skipped, err.Error())
		return
	}
	defer p.end(ctx)
	for _, service := range info.Services {
		if t.binary.Service != "" && t.binary.Service != service.Name {
			continue
		}
		o, err := guess(ctx, p, info, service.Name, t.binary.Options)
		if err != nil {
			t.skipped = append(t.skipped, fmt.Sprintf("service %s needs other options: %s", service.Name, oneLine(err)))
			continue
		}
		s := Sample{Service: service, Options: o}
		if len(t.binary.Servers) > 0 {
			s.Server = Remote(t.binary.Servers...)
		}
		t.tried = append(t.tried, s)
	}
	if len(t.tried)+len(t.skipped) == 0 {
		t.skipped = append(t.skipped, "it does not serve "+t.binary.Service)
	}
}
