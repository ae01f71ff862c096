package engine

import (
	"context"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// publishEvery bounds the age of a snapshot.
const publishEvery = 200 * time.Millisecond

// weighEvery is the least time between looks at the table for the sake of weights.
const weighEvery = time.Second

// loop is what the engine's goroutine owns.
type loop struct {
	engine  *Engine
	o       Options
	applier *applier

	state  *state.State
	last   lvs.Table // asked last: what the edits that were made lead to
	dirty  bool      // what is asked now may differ from last
	memory state.Memory
	faults faults // checks that cannot tell now

	then    func(outcome) // what to do with the outcome of the job under way; nil when there is none
	trouble trouble

	reloads []reload
	applied []func(error) // replies to give once nothing is left to apply
	stops   []func(error)
	ended   bool

	driftAt   time.Time
	lookedAt  time.Time // the last look at the kernel's table, or the last that was wanted
	weighAt   time.Time // when to look because a check asks for another weight; zero: none does
	publishAt time.Time // zero when the snapshot is up to date
}

type reload struct {
	cfg     *config.Config
	reply   func(error)
	decided *atomic.Bool // set by the loop when it goes over, or by the caller who gives up: the first counts
}

func newLoop(e *Engine, o Options, st *state.State, last lvs.Table) *loop {
	return &loop{
		engine: e, o: o, applier: newApplier(o.Controller, o.ApplyTimeout),
		state: st, last: last, memory: o.Memory, faults: newFaults(o.Log),
		driftAt: time.Now().Add(o.DriftInterval),
	}
}

// run is the engine's goroutine.
func (l *loop) run() {
	defer close(l.engine.done)
	defer close(l.applier.jobs)
	timer := time.NewTimer(0)
	defer timer.Stop()
	observations := l.o.Monitor.Observations()
	for {
		l.advance()
		if l.ended {
			return
		}
		timer.Reset(time.Until(l.nextAlarm()))
		select {
		case batch, ok := <-observations:
			if !ok {
				observations = nil // the monitor has ended; we go on until Stop
			}
			l.observe(batch)
		case request := <-l.engine.requests:
			request(l)
		case out := <-l.applier.outcomes:
			then := l.then
			l.then = nil
			then(out)
		case <-timer.C:
			l.alarm(time.Now())
		}
	}
}

// observe takes a batch of verdicts.
func (l *loop) observe(batch []state.Observation) {
	var ts []state.Transition
	var seen []state.Sighting
	verbose := l.o.Log.Enabled(context.Background(), slog.LevelDebug)
	for _, o := range batch {
		if verbose { // -d (ldirectord(8))
			l.o.Log.Debug("Checked", "check", o.Check, "status", o.Verdict.Status.String(), "code", o.Verdict.Code, "reason", o.Verdict.Reason)
		}
		if o.Verdict.Status == sdk.StatusUnknown {
			l.engine.counts.faults.Add(1)
		}
		l.faults.take(o)
		ts = append(ts, l.state.Observe(o)...)
		seen = append(seen, l.state.Sightings(o)...)
	}
	if len(seen) > 0 && l.o.Observed != nil {
		l.o.Observed(seen)
	}
	l.faults.tell(time.Now())
	l.emit(ts)
	l.reweigh()
	l.stale()
}

// reweigh has the table looked at soon, if a check asks for another weight: not more often than
// once per weighEvery, however many checks do.
func (l *loop) reweigh() {
	if l.state.Reweighs() && l.weighAt.IsZero() {
		l.weighAt = l.lookedAt.Add(weighEvery)
	}
}

// stale has the snapshot made anew soon.
func (l *loop) stale() {
	if l.publishAt.IsZero() {
		l.publishAt = time.Now().Add(publishEvery)
	}
}

// emit makes decisions known, and has the table follow them.
func (l *loop) emit(ts []state.Transition) {
	if len(ts) == 0 {
		return
	}
	l.dirty = true
	l.engine.counts.transitions.Add(uint64(len(ts)))
	for _, t := range ts {
		l.logTransition(t)
	}
	for _, s := range l.o.Sinks {
		s.Take(ts)
	}
	l.remember()
	l.publish()
}

func (l *loop) remember() {
	m := l.state.Memory()
	if reflect.DeepEqual(m, l.memory) {
		return
	}
	l.memory = m
	if l.o.MemoryChanged != nil {
		l.o.MemoryChanged(m)
	}
}

func (l *loop) publish() {
	l.publishAt = time.Time{}
	l.engine.snapshot.Store(l.state.Snapshot())
}

// nextAlarm is when the loop has something to do by itself.
func (l *loop) nextAlarm() time.Time {
	next := l.driftAt
	for _, at := range []time.Time{l.trouble.retryAt, l.publishAt, l.faults.dueAt, l.state.NextSettle(), l.weighAt, l.state.NextExpiry()} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

func (l *loop) alarm(now time.Time) {
	due := func(at time.Time) bool { return !at.IsZero() && !at.After(now) }
	if due(l.publishAt) {
		l.publish()
	}
	if due(l.faults.dueAt) {
		l.faults.tell(now)
	}
	if due(l.state.NextSettle()) {
		l.stale()
		l.emit(l.state.Settle(now))
	}
	if due(l.state.NextExpiry()) {
		l.state.Expire(now)
		l.reweigh()
		l.stale()
	}
	if due(l.weighAt) {
		l.weighAt, l.lookedAt, l.trouble.readDue = time.Time{}, now, true
	}
	if due(l.driftAt) || due(l.trouble.retryAt) {
		l.driftAt = now.Add(l.o.DriftInterval)
		l.trouble.retry()
	}
}
