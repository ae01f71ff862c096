package monitor

import (
	"time"

	"github.com/ldirectord/ldirectord/host/state"
)

// set makes checks the whole set.
func (l *loop) set(checks []state.Check) {
	now := l.now()
	kept := make(map[state.CheckID]*entry, len(checks))
	var fresh []*entry
	for i := range checks {
		c := &checks[i]
		if kept[c.ID] != nil {
			continue
		}
		e := l.entries[c.ID]
		if e != nil && sameProbe(&e.check, c) {
			delete(l.entries, c.ID)
			l.update(e, c, now)
		} else {
			e = &entry{check: *c, cadence: state.NewCadence(c.ConnectsPer)}
			fresh = append(fresh, e)
		}
		kept[c.ID] = e
	}
	for _, e := range l.entries {
		l.forget(e)
	}
	l.dropPending()
	l.entries = kept
	l.schedule(fresh, now)
	l.publish()
}

// update gives a check that stays its new positions and interval.
func (l *loop) update(e *entry, c *state.Check, now time.Duration) {
	before := e.interval()
	e.check = *c
	if e.interval() == before {
		return
	}
	e.gap = 0
	switch {
	case e.flight != nil:
		e.next = e.slot + e.interval()
		return
	case e.ran:
		e.wake = e.slot + e.interval()
	default:
		e.wake = min(e.wake, now+e.interval())
	}
	if e.wake < now {
		// Many may be in this place at once: the shorter interval is no reason for a burst.
		e.wake = now + time.Duration(l.o.Rand.Int64N(int64(e.interval())))
	}
	l.resting.fix(e)
}

// forget takes a check out of the schedule and away from its Runners.
func (l *loop) forget(e *entry) {
	if e.flight != nil {
		l.flying.remove(e)
		e.flight = nil
	} else {
		l.resting.remove(e)
	}
	l.unbind(&e.main)
	l.unbind(&e.connect)
	e.index = -1
}

// dropPending takes observations of forgotten checks out of what waits for the reader.
func (l *loop) dropPending() {
	kept := 0
	for i, e := range l.holders {
		if e.index < 0 {
			continue
		}
		l.pending[kept], l.holders[kept] = l.pending[i], e
		kept++
	}
	clear(l.pending[kept:])
	clear(l.holders[kept:])
	l.pending, l.holders = l.pending[:kept], l.holders[:kept]
}

// schedule gives new checks their first slots, in random order: neighbours in the
// configuration are often neighbours on one machine.
func (l *loop) schedule(fresh []*entry, now time.Duration) {
	l.o.Rand.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
	for j, e := range fresh {
		first, gap := spread(j, len(fresh), e.interval())
		e.wake, e.gap = now+first, gap
		l.resting.add(e)
	}
}
