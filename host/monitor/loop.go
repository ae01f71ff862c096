package monitor

import (
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

// reportEvery is how often skipped slots are logged at most.
const reportEvery = 10 * time.Second

// loop is the Monitor's goroutine and all that it owns.
type loop struct {
	o    Options
	m    *Monitor
	base time.Time // all offsets count from here; so does the tick grid

	entries map[state.CheckID]*entry
	byID    map[uint64]*entry // registrations
	lastID  uint64
	resting queue // by due time
	flying  queue // by deadline

	runners    map[runnerKey]*runner
	touched    []*runner // with something due in this tick
	deliveries chan delivery
	forwarders sync.WaitGroup

	pending []state.Observation // not yet taken by the reader
	holders []*entry            // of pending, one by one

	ticked   time.Duration // when what is due was last started
	armed    time.Duration // what the timer is set for; -1: nothing
	reported time.Duration // when skipped slots were last logged
	skipped  int64         // as logged
}

func newLoop(o Options, m *Monitor) *loop {
	return &loop{
		o: o, m: m,
		base:       time.Now(),
		entries:    make(map[state.CheckID]*entry),
		byID:       make(map[uint64]*entry),
		runners:    make(map[runnerKey]*runner),
		deliveries: make(chan delivery),
		ticked:     -1,
		armed:      -1,
		reported:   -reportEvery,
	}
}

// now is the offset of this moment.
func (l *loop) now() time.Duration { return time.Since(l.base) }

// run is the goroutine: it ends when the Monitor is closed.
func (l *loop) run() {
	defer close(l.m.done)
	defer l.forwarders.Wait()
	defer l.release()
	timer := time.NewTimer(time.Hour)
	timer.Stop() // armed when there is something to wait for
	defer timer.Stop()
	for {
		l.arm(timer)
		var out chan<- []state.Observation
		if len(l.pending) > 0 {
			out = l.m.out
		}
		select {
		case <-l.m.stop:
			return
		case req := <-l.m.sets:
			l.set(req.checks)
			close(req.taken)
		case d := <-l.deliveries:
			l.receive(d)
		case out <- l.pending:
			l.taken()
		case <-timer.C:
			l.armed = -1
			l.tick()
		}
	}
}

// arm sets the timer for the tick at which something is to be done: the next point of the
// grid at or after the earliest wake, never one that has been served. With nothing
// to do it stays unarmed, so that an idle Monitor wakes nobody.
func (l *loop) arm(timer *time.Timer) {
	var wake time.Duration = -1
	if len(l.resting) > 0 && len(l.flying) < l.o.MaxInFlight {
		wake = l.resting[0].wake
	}
	if len(l.flying) > 0 && (wake < 0 || l.flying[0].wake < wake) {
		wake = l.flying[0].wake
	}
	if wake < 0 {
		return // a timer that is still set for something else does no harm
	}
	at := gridAfter(max(wake, l.ticked+1))
	if at == l.armed {
		return
	}
	l.armed = at
	timer.Reset(at - l.now())
}

// gridAfter rounds up to the tick grid.
func gridAfter(t time.Duration) time.Duration { return (t + Tick - 1) / Tick * Tick }

// tick gives up what is overdue and starts what is due.
func (l *loop) tick() {
	now := l.now()
	l.ticked = now
	at := time.Now()
	for l.flying.due(now) {
		l.giveUp(l.flying[0], at, now)
	}
	for l.resting.due(now) && len(l.flying) < l.o.MaxInFlight {
		l.startOne(l.resting[0], at, now)
	}
	for _, rn := range l.touched {
		due := rn.due
		rn.due = make([]sdk.Due, 0, len(due)) // the Runner keeps what it is given
		rn.r.Start(due)
	}
	clear(l.touched)
	l.touched = l.touched[:0]
	l.publish()
	l.report(now)
}

// startOne puts the probe of a due check into this tick's batch, or skips the slot.
func (l *loop) startOne(e *entry, at time.Time, now time.Duration) {
	if e.held {
		l.m.counts.held.Add(e.skip(e.wake, now))
		l.resting.fix(e)
		return
	}
	l.m.counts.late.Add(e.begin(now))
	g, kind, timeout := &e.main, e.check.Kind, e.check.Timeout
	if e.check.ConnectsPer > 0 {
		if e.step = e.cadence.Next(); e.step == state.Connect {
			g, kind, timeout = &e.connect, e.check.ConnectKind, e.check.ConnectTimeout
		}
	}
	l.resting.remove(e)
	if err := l.bind(e, g, kind, now); err != nil {
		l.conclude(e, sdk.Unknown("no checker for %s: %v", kind, err), at, now)
		return
	}
	e.flight = g
	e.wake = now + timeout + Grace
	l.flying.add(e)
	l.m.counts.started.Add(1)
	if len(g.runner.due) == 0 {
		l.touched = append(l.touched, g.runner)
	}
	g.runner.due = append(g.runner.due, sdk.Due{ID: g.id, Remaining: timeout})
}

// giveUp ends the wait for a Result that its Runner owes. The check gets a new
// registration, so that the old Result cannot be taken for a new one.
func (l *loop) giveUp(e *entry, at time.Time, now time.Duration) {
	l.m.counts.overdue.Add(1)
	kind := e.flight.runner.key.kind
	l.o.Log.Warn("a checker did not answer in time", "kind", kind, "check", string(e.check.ID))
	l.unbind(e.flight)
	l.finish(e, sdk.Unknown("the %s checker did not answer in time", kind), at, now)
}

// receive takes what a Runner says. Results that nobody waits for any more are dropped.
func (l *loop) receive(d delivery) {
	now := l.now()
	if d.closed {
		l.lost(d.from, now)
	}
	at := time.Now()
	for _, r := range d.batch {
		e := l.byID[r.ID]
		if e != nil && e.flight != nil && e.flight.id == r.ID {
			l.finish(e, r.Verdict, at, now)
		}
	}
	l.publish()
}

// finish ends a probe in flight.
func (l *loop) finish(e *entry, v sdk.Verdict, at time.Time, now time.Duration) {
	l.flying.remove(e)
	e.flight = nil
	l.conclude(e, v, at, now)
}

// conclude records what a probe said and puts the check to rest until its next slot.
// It must be in no heap.
func (l *loop) conclude(e *entry, v sdk.Verdict, at time.Time, now time.Duration) {
	if e.check.ConnectsPer > 0 {
		e.cadence.Record(e.step, v.Status)
	}
	l.pending = append(l.pending, state.Observation{Check: e.check.ID, Verdict: v, At: at})
	l.holders = append(l.holders, e)
	e.held = true
	l.m.counts.overrun.Add(e.skip(e.next, now))
	l.resting.add(e)
}

// taken notes that the reader has the pending observations.
func (l *loop) taken() {
	for i, e := range l.holders {
		e.held = false
		l.holders[i] = nil
	}
	l.holders = l.holders[:0]
	l.pending = nil // it is the reader's now
}

// publish makes the numbers of now visible.
func (l *loop) publish() {
	l.m.counts.checks.Store(int64(len(l.entries)))
	l.m.counts.inFlight.Store(int64(len(l.flying)))
}

// report says, not too often, that the machine cannot keep the pace.
func (l *loop) report(now time.Duration) {
	skipped := l.m.counts.late.Load()
	if skipped == l.skipped || now-l.reported < reportEvery {
		return
	}
	l.o.Log.Warn("checks are late: too many probes in flight",
		"skipped", skipped-l.skipped, "in flight", len(l.flying), "limit", l.o.MaxInFlight)
	l.skipped, l.reported = skipped, now
}

// release forgets every check at its Runner and ends the stream of observations.
func (l *loop) release() {
	for _, e := range l.entries {
		l.unbind(&e.main)
		l.unbind(&e.connect)
	}
	clear(l.entries)
	l.resting, l.flying = nil, nil
	l.publish()
	close(l.m.out)
}
