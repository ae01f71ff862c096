package state

import (
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/sdk"
)

// Observe takes one verdict and returns what changes by it. A check may belong to real
// servers of several virtual services; each counts for itself. Unknown changes nothing: it
// is kept as the last message alone.
func (s *State) Observe(o Observation) []Transition {
	var ts []Transition
	for _, w := range s.watches[o.Check] {
		ts = append(ts, w.observe(o)...)
		s.weighed(w)
	}
	return ts
}

func (w *watch) observe(o Observation) []Transition {
	w.service.view = nil
	w.last, w.at, w.borrowed = o.Verdict, o.At, false
	if o.Verdict.Status == sdk.StatusUnknown {
		return nil
	}
	c := cause{at: o.At, verdict: o.Verdict, check: o.Check}
	w.judged, w.counted = true, o.Verdict
	w.weigh(o.Verdict, o.At)
	w.server.adopted = false
	var ts []Transition
	if change := w.count(o.Verdict.Status); change != 0 && w.server.maintenance == "" {
		t := c.serverTransition(w.service, w.server, change)
		t.Failures, t.Limit = w.failures, w.service.cfg.FailureCount
		ts = append(ts, t)
	}
	ts = append(ts, w.service.shift(w.server, c, w.server.judge)...)
	return append(ts, w.service.balance(c)...)
}

// count keeps the failures (ldirectord(8), "failurecount"): that many in a row take the
// server down, one success resets them and brings it up. It returns SoftFailure,
// SoftFailureReset or 0.
func (w *watch) count(status sdk.Status) Change {
	limit := w.service.cfg.FailureCount
	if status == sdk.StatusUp {
		soft := w.health != Down && w.failures > 0
		w.health, w.failures = Up, 0
		if soft {
			return SoftFailureReset
		}
		return 0
	}
	w.failures = min(w.failures+1, limit)
	if w.health != Down && w.failures < limit {
		return SoftFailure
	}
	w.health = Down
	return 0
}

// judge sets the health from the checks: down with one of them, up with all of them. While
// some have not said anything, it stays as it is.
func (r *server) judge() {
	up := 0
	for _, w := range r.watches {
		switch w.health {
		case Down:
			r.health = Down
			return
		case Up:
			up++
		}
	}
	if up > 0 && up == len(r.watches) {
		r.health = Up
	}
}

// shift lets change alter the health or the maintenance of r, and does what follows for the
// table.
func (v *service) shift(r *server, c cause, change func()) []Transition {
	v.view = nil
	before := r.status()
	change()
	after := r.status()
	if before == after {
		return nil
	}
	r.since = c.at
	switch after {
	case Up:
		return v.enter(r, c, before)
	case Down:
		return v.leave(r, c)
	default: // out of maintenance without any verdict: it waits for one
		return nil
	}
}

// enter puts r into the table with its configured weight, forwarding method and thresholds.
func (v *service) enter(r *server, c cause, before Health) []Transition {
	if before == Waiting && r.drained() {
		return nil // the weight 0 was an operator's before we started: not ours to lift
	}
	change := Added
	if r.in {
		change = Restored
	}
	r.in, r.value, r.byHand = true, r.entry(), ""
	return []Transition{c.serverTransition(v, r, change)}
}

// leave takes r out of service: weight 0 with quiescent = yes, else out of the table. What an
// operator removed by hand is put back with weight 0 only if readdquiescent says so.
func (v *service) leave(r *server, c cause) []Transition {
	change := Quiesced
	switch {
	case v.cfg.CheckType == config.Off:
		return nil
	case !v.cfg.Quiescent:
		r.in, r.value, r.byHand = false, r.quiescent(), ""
		return []Transition{c.serverTransition(v, r, Deleted)}
	case !r.in && r.byHand != "" && !v.cfg.ReaddQuiescent:
		c.reason = "real server " + ServerName(r.key) + " (" + v.cfg.Key.String() +
			") is down; it stays out of the table, where it was removed by hand"
		return []Transition{c.atServer(v, r.key)}
	case !r.in && r.byHand != "":
		change = ReaddedQuiescent
	}
	r.in, r.value, r.byHand = true, r.quiescent(), ""
	return []Transition{c.serverTransition(v, r, change)}
}

// balance decides about the fallback: in when no real server is up, out when one is. Until
// the section is settled it only leaves. The fallbackcommand runs at the same two moments.
func (v *service) balance(c cause) []Transition {
	v.settled = v.settled || !v.pending()
	want := v.fallback
	switch {
	case v.cfg.CheckType == config.Off || v.up():
		want = false
	case v.settled:
		want = true
	}
	var ts []Transition
	if f := v.fallbackServer(); want != v.fallback && f != nil {
		change := Deleted
		if want {
			change = Added
		}
		ts = append(ts, c.fallbackTransition(v, f, change))
	}
	if want != v.fallback {
		v.fallback, v.view = want, nil
	}
	ts = append(ts, v.release(c)...)
	return append(ts, v.command(c)...)
}

func (c cause) fallbackTransition(v *service, f *config.Fallback, change Change) Transition {
	t := c.transition(v, change)
	t.Server, t.Weight, t.Fallback = f.Key, f.Server.Weight, true
	return t
}

// command keeps the fallbackcommand in step with the fallback, one start to one stop. One that
// was started before a restart is stopped by the first real server that is up, and by nothing
// that is merely not known yet.
func (v *service) command(c cause) []Transition {
	switch {
	case v.fallback && v.settled && v.started == "" && v.cfg.FallbackCommand != "":
		v.started = v.cfg.FallbackCommand
		t := c.transition(v, FallbackStarted)
		t.Command = v.started
		return []Transition{t}
	case v.started != "" && (v.up() || v.cfg.CheckType == config.Off || v.cfg.FallbackCommand == ""):
		return []Transition{v.stopCommand(c)}
	case v.started != "" && v.started != v.cfg.FallbackCommand && v.fallback && v.settled: // a reload has another
		return append([]Transition{v.stopCommand(c)}, v.command(c)...)
	default:
		return nil
	}
}

func (v *service) stopCommand(c cause) Transition {
	t := c.transition(v, FallbackStopped)
	t.Command, v.started = v.started, ""
	return t
}

// up tells whether any real server is up.
func (v *service) up() bool {
	for _, r := range v.servers {
		if r.status() == Up {
			return true
		}
	}
	return false
}

// pending tells whether a real server is still without a verdict.
func (v *service) pending() bool {
	if v.waiting {
		return true
	}
	for _, r := range v.servers {
		if r.maintenance != "" {
			continue
		}
		for _, w := range r.watches {
			if !w.judged {
				return true
			}
		}
	}
	return false
}

// NextSettle returns when Settle is due: the earliest time at which a section's fallback
// has waited long enough for verdicts. The zero time means never.
func (s *State) NextSettle() time.Time {
	var next time.Time
	for _, v := range s.services {
		if !v.settled && (next.IsZero() || v.settleBy.Before(next)) {
			next = v.settleBy
		}
	}
	return next
}

// Settle ends the wait of those sections whose time has passed: a real server without a
// verdict now counts as not up.
func (s *State) Settle(at time.Time) []Transition {
	var ts []Transition
	for _, v := range s.services {
		if !v.settled && !v.settleBy.After(at) {
			v.settled, v.view = true, nil
			ts = append(ts, v.balance(cause{at: at, reason: "no verdict in time"})...)
		}
	}
	return ts
}
