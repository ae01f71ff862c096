package builtin

import (
	"context"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// owner is the Pool's goroutine and all that it owns. It never blocks on a probe nor on
// the reader of results.
type owner struct {
	p       *Pool
	known   map[uint64]*registration
	running map[*run]struct{} // have a place
	waiting []*run            // for a place, in the order of Start
	stuck   int               // of running

	out      outbox
	timer    *time.Timer // of the sweep
	sweeping bool        // it is set
}

func newOwner(p *Pool) *owner {
	o := &owner{
		p:       p,
		known:   make(map[uint64]*registration),
		running: make(map[*run]struct{}),
		out:     newOutbox(),
		timer:   time.NewTimer(time.Hour),
	}
	o.timer.Stop()
	return o
}

// loop ends when the Pool is closed and every probe has come back.
func (o *owner) loop() {
	defer close(o.p.stopped)
	defer o.drain()
	for {
		if len(o.running) > 0 && !o.sweeping {
			o.sweeping = true
			o.timer.Reset(sweepEvery)
		}
		select {
		case <-o.p.stop:
			return
		case c := <-o.p.calls:
			o.take(c)
		case f := <-o.p.done:
			o.finish(f)
		case o.out.to(o.p.results) <- o.out.batch:
			o.out.sent()
		case o.p.stats <- o.fill():
		case <-o.out.timer.C:
			o.out.fired()
		case <-o.timer.C:
			o.sweeping = false
			o.sweep(time.Now())
		}
	}
}

// drain ends the stream of results and waits for the probes, all cancelled by Close.
func (o *owner) drain() {
	o.out.timer.Stop()
	o.timer.Stop()
	close(o.p.results)
	for len(o.running) > 0 {
		f := <-o.p.done
		delete(o.running, f.run)
	}
}

// fill is what Stats tells.
func (o *owner) fill() Stats {
	return Stats{Registered: len(o.known), Running: len(o.running), Waiting: len(o.waiting), Stuck: o.stuck}
}

// take does what one call asks for.
func (o *owner) take(c call) {
	switch {
	case c.register != nil:
		o.known[c.register.id] = c.register
	case c.start != nil:
		now := time.Now()
		for _, d := range c.start {
			o.start(d, now)
		}
	default:
		o.forget(c.forget)
	}
}

// forget drops a registration; its run goes on without one until it comes back.
func (o *owner) forget(id uint64) {
	reg := o.known[id]
	if reg == nil {
		return
	}
	delete(o.known, id)
	if r := reg.run; r != nil {
		r.answered = true
		if r.cancel != nil {
			r.cancel()
		}
	}
}

// start gives one probe a place, or a place in the queue.
func (o *owner) start(d sdk.Due, now time.Time) {
	reg := o.known[d.ID]
	switch {
	case reg == nil:
		o.out.add(d.ID, sdk.Unknown("started a check that is not registered"))
		return
	case reg.run != nil:
		o.out.add(d.ID, sdk.Unknown("the last probe has not come back"))
		return
	}
	r := &run{reg: reg, begun: now, deadline: now.Add(d.Remaining)}
	reg.run = r
	if len(o.running) < o.p.max {
		o.launch(r)
	} else {
		o.waiting = append(o.waiting, r)
	}
}

// launch starts the goroutine of a run that has got a place.
func (o *owner) launch(r *run) {
	ctx, cancel := context.WithDeadline(o.p.ctx, r.deadline)
	r.cancel = cancel
	o.running[r] = struct{}{}
	go o.p.execute(ctx, r) // finish or drain waits for it
}

// finish takes what a probe left, and passes its place on.
func (o *owner) finish(f finished) {
	delete(o.running, f.run)
	if f.run.stuck {
		o.stuck--
	}
	f.run.reg.run = nil
	o.answer(f.run, f.verdict)
	o.fillPlaces(time.Now())
}

// fillPlaces starts what waits while there are places, or gives up what has waited too long.
func (o *owner) fillPlaces(now time.Time) {
	for len(o.waiting) > 0 && len(o.running) < o.p.max {
		r := o.waiting[0]
		o.waiting[0] = nil
		o.waiting = o.waiting[1:]
		if !o.expired(r, now) {
			r.waited = now.Sub(r.begun)
			o.launch(r)
		}
	}
}

// expired ends a run that waited for a place until its time was over, or that is no
// longer wanted.
func (o *owner) expired(r *run, now time.Time) bool {
	if !r.answered && now.Before(r.deadline) {
		return false
	}
	r.reg.run = nil
	o.answer(r, sdk.Unknown("no place for the probe: %d are running, %d of them stuck", len(o.running), o.stuck))
	return true
}

// sweep gives up what has outlived its time.
func (o *owner) sweep(now time.Time) {
	for r := range o.running {
		if !r.stuck && now.Sub(r.deadline) > grace {
			r.stuck = true
			o.stuck++
			o.answer(r, sdk.Unknown("the probe did not end when its time was over"))
		}
	}
	kept := o.waiting[:0]
	for _, r := range o.waiting {
		if !o.expired(r, now) {
			kept = append(kept, r)
		}
	}
	clear(o.waiting[len(kept):])
	o.waiting = kept
}

// answer gives the result of a run, unless it had one or nobody wants it.
func (o *owner) answer(r *run, v sdk.Verdict) {
	if !r.answered {
		r.answered = true
		o.out.add(r.reg.id, v)
	}
}
