package monitor

import (
	"container/heap"
	"maps"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
)

// entry is one check of the set and where it stands. At rest it is in the heap of due
// times, with a probe in flight in the heap of deadlines. All times are offsets from
// the loop's base, on the monotonic clock.
type entry struct {
	check   state.Check
	main    leg // the check's own kind
	connect leg // ConnectKind, of checktype = N (ldirectord(8), "checktype")
	cadence state.Cadence

	wake   time.Duration // when its heap must look at it: due, or the watchdog's deadline
	index  int           // in its heap
	gap    time.Duration // from the first slot to the second, 0 once that is past
	slot   time.Duration // the slot of the last start
	next   time.Duration // the slot after that; valid while a probe is in flight
	flight *leg          // the leg whose probe is in flight; nil at rest
	step   state.Step    // what that probe is, for the cadence
	ran    bool          // was started at least once
	held   bool          // its last observation has not been taken yet
}

// leg is one registration of a check at a Runner. The zero value is not registered.
type leg struct {
	runner *runner
	id     uint64
}

// sameProbe says whether two checks look the same to whoever probes them: then the
// second may carry on where the first is.
func sameProbe(a, b *state.Check) bool {
	return a.ID == b.ID && a.Kind == b.Kind && a.Pool == b.Pool && a.Target == b.Target &&
		a.Timeout == b.Timeout && a.ConnectsPer == b.ConnectsPer &&
		a.ConnectTimeout == b.ConnectTimeout && a.ConnectKind == b.ConnectKind && maps.Equal(a.Options, b.Options)
}

// interval is the check's interval, at least one tick.
func (e *entry) interval() time.Duration { return max(e.check.Interval, Tick) }

// begin moves the entry's slot on to the one that a start at now serves, and returns how
// many slots before it have passed unserved. The first gap is used up here.
func (e *entry) begin(now time.Duration) (missed int64) {
	missed = missedSlots(e.wake, now, e.interval())
	if missed > 0 {
		missed-- // the newest of them is the one being served, late
	}
	e.slot = e.wake + time.Duration(missed)*e.interval()
	step := e.interval()
	if e.gap > 0 {
		step, e.gap = e.gap, 0
	}
	e.next = e.slot + step
	e.ran = true
	return missed
}

// skip moves a due slot into the future and returns how many slots were skipped.
func (e *entry) skip(slot, now time.Duration) (skipped int64) {
	skipped = missedSlots(slot, now, e.interval())
	e.wake = slot + time.Duration(skipped)*e.interval()
	return skipped
}

// missedSlots counts the slots slot, slot + interval, ... that lie at or before now.
func missedSlots(slot, now, interval time.Duration) int64 {
	if slot > now {
		return 0
	}
	return int64((now-slot)/interval) + 1
}

// queue is a heap of entries, the earliest wake first.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].wake < q[j].wake }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is heap.Interface's; use add.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop is heap.Interface's; use remove.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// add puts e in.
func (q *queue) add(e *entry) { heap.Push(q, e) }

// remove takes e out; e must be in.
func (q *queue) remove(e *entry) { heap.Remove(q, e.index) }

// fix puts e in its place after its wake changed.
func (q *queue) fix(e *entry) { heap.Fix(q, e.index) }

// due says whether the earliest entry is to be looked at by now.
func (q queue) due(now time.Duration) bool { return len(q) > 0 && q[0].wake <= now }
