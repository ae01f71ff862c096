package plugin

import (
	"fmt"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// register takes a check and tells the plugin, if it runs.
func (p *process) register(c *check) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.runner.checks[c.id] = c
	p.enroll(c)
}

// enroll gives the check a number of its own on the wire. mu is held.
func (p *process) enroll(c *check) {
	p.lastWire++
	c.wire = p.lastWire
	p.checks[c.wire] = c
	p.secrets.add(p.info, c.options)
	if p.phase == running {
		p.session.stream.Register(c.wire, c.target, c.options)
	}
}

// dismiss is the opposite of enroll. mu is held.
func (p *process) dismiss(c *check) {
	delete(p.checks, c.wire)
	if p.phase == running {
		p.session.stream.Forget(c.wire)
		if c.flight == flying {
			p.session.owed++
		}
	}
}

func (p *process) forget(r *Runner, id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := r.checks[id]
	if c == nil {
		return
	}
	delete(r.checks, id)
	p.dismiss(c)
	if c.flight != resting {
		p.land(c)
	}
}

// start starts probes, or holds them until the process is there, or answers at once.
func (p *process) start(r *Runner, due []sdk.Due) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == over {
		return
	}
	now := time.Now()
	var batch []sdk.Due
	var refused []sdk.Result
	for _, d := range due {
		c := r.checks[d.ID]
		if why := p.refusal(c, now); why != "" {
			refused = append(refused, sdk.Result{ID: d.ID, Verdict: sdk.Unknown("%s", why)})
			continue
		}
		p.takeOff(c, now, d.Remaining)
		if p.phase == running && p.turn(c) {
			batch = append(batch, sdk.Due{ID: c.wire, Remaining: d.Remaining})
		}
	}
	if len(refused) > 0 {
		r.post(refused...)
	}
	switch {
	case len(batch) > 0:
		p.session.stream.Start(batch)
	case p.phase == idle:
		p.want()
	}
}

// refusal says why c cannot be probed now. mu is held.
func (p *process) refusal(c *check, now time.Time) string {
	switch {
	case c == nil:
		return "the check is not registered"
	case c.flight != resting:
		return "its last probe is not over"
	case now.Before(c.aside):
		return fmt.Sprintf("set aside until %s: it was in flight each time when plugin %s died",
			c.aside.Format(time.TimeOnly), p.key.path)
	case p.phase == pausing:
		return p.failure.Error()
	default:
		return ""
	}
}

// takeOff puts c's probe in flight, held at first. mu is held.
func (p *process) takeOff(c *check, now time.Time, remaining time.Duration) {
	deadline := now.Add(remaining)
	c.flight, c.deadline, c.whole, c.short = held, deadline, remaining, false
	p.inFlight++
	at := p.sweepOf(deadline.Add(p.pool.o.timing.grace))
	p.cuts[at] = append(p.cuts[at], c.wire)
	p.arm()
}

// turn says whether the held check may fly now. Of those that were in flight in a
// crash only one flies at a time, so that a second crash says which one it is. mu is held.
func (p *process) turn(c *check) bool {
	if c.crashes > 0 {
		if p.suspect != nil {
			p.queue = append(p.queue, c)
			return false
		}
		p.suspect = c
	}
	c.flight = flying
	return true
}

// rest is what a held probe, whose turn has come, has left of its time; none when that is over. It
// notes when it is little: a verdict that the server was too late then means nothing. mu is held.
func (c *check) rest() (sdk.Due, bool) {
	left := time.Until(c.deadline)
	c.short = left < c.whole*9/10
	return sdk.Due{ID: c.wire, Remaining: left}, left > 0
}

// fair is v, unless v says that a server was late which did not have its time. mu is held.
func (c *check) fair(v sdk.Verdict) sdk.Verdict {
	const nearly = 50 * time.Millisecond
	late := v.Code == sdk.CodeTimeout || v.Code == sdk.CodeL4Timeout || time.Until(c.deadline) < nearly
	if !c.short || v.Status != sdk.StatusDown || !late {
		return v
	}
	return sdk.Unknown("the plugin was not ready in time, and what was left of %v was not enough: %s", c.whole, v.Reason)
}

// land ends c's flight, and gives the next suspect its turn. mu is held.
func (p *process) land(c *check) {
	c.flight = resting
	p.inFlight--
	if p.suspect != c {
		return
	}
	p.suspect = nil
	for len(p.queue) > 0 && p.suspect == nil {
		next := p.queue[0]
		p.queue = p.queue[1:]
		if next.flight != held || p.phase != running || p.checks[next.wire] != next {
			continue
		}
		if d, ok := next.rest(); ok { // else it is cut off
			p.turn(next)
			p.session.stream.Start([]sdk.Due{d})
		}
	}
}

// answer ends c's flight with a verdict. mu is held.
func (p *process) answer(c *check, v sdk.Verdict) {
	p.land(c)
	c.runner.post(sdk.Result{ID: c.id, Verdict: v})
}

// deliver takes a batch from the plugin. Its error says that the plugin sends what nobody asked for.
func (p *process) deliver(s *session, batch []sdk.Result) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	byRunner := map[*Runner][]sdk.Result{}
	for _, one := range batch {
		c := p.checks[one.ID]
		switch {
		case c == nil && s.owed > 0:
			s.owed--
			continue
		case c == nil || c.flight != flying:
			s.stray++
			continue
		}
		c.crashes = 0
		v := c.fair(one.Verdict)
		p.land(c)
		byRunner[c.runner] = append(byRunner[c.runner], sdk.Result{ID: c.id, Verdict: p.secrets.verdict(v)})
	}
	for r, results := range byRunner {
		r.post(results...)
	}
	if s.stray > p.pool.o.timing.maxStray {
		return fmt.Errorf("it sent %d verdicts that nobody had asked for", s.stray)
	}
	return nil
}

// sweepOf is the number of the first sweep at or after t. It counts from a moment of this process's, since
// the clock on the wall may be set.
func (p *process) sweepOf(t time.Time) int64 {
	every := p.pool.o.timing.sweep
	return int64((t.Sub(p.born) + every - 1) / every)
}

// arm makes sure that a sweep comes. mu is held.
func (p *process) arm() {
	if !p.armed && p.inFlight > 0 {
		p.armed = true
		time.AfterFunc(p.pool.o.timing.sweep, p.sweep)
	}
}

// sweep cuts off the probes whose time is long over: a plugin that hangs is not waited for.
func (p *process) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	now := time.Now()
	for at, wires := range p.cuts {
		if at > int64(now.Sub(p.born)/p.pool.o.timing.sweep) {
			continue
		}
		delete(p.cuts, at)
		for _, wire := range wires {
			c := p.checks[wire]
			if c != nil && c.flight != resting && !now.Before(c.deadline.Add(p.pool.o.timing.grace)) {
				p.cut(c)
			}
		}
	}
	p.arm()
}

// cut ends the flight of a probe that did not come back. Its check gets a new number, since
// the plugin takes the old one for busy. mu is held.
func (p *process) cut(c *check) {
	if c.flight == held {
		p.answer(c, sdk.Unknown("plugin %s was not ready for the probe in its time", p.key.path))
		return
	}
	p.cutOff++
	p.dismiss(c)
	p.answer(c, sdk.Unknown("plugin %s did not answer in the probe's time", p.key.path))
	p.enroll(c)
	if p.session != nil {
		p.session.hung++
		nudge(p.hung)
	}
}
