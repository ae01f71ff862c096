package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// The wait before a refused edit is tried again doubles from backoffFirst to backoffMost.
const (
	backoffFirst = time.Second
	backoffMost  = 30 * time.Second
)

// trouble is what is kept of a kernel that does not do as it is asked. The zero value: none.
type trouble struct {
	readDue bool                // the table is to be read
	refused map[lvs.Edit]bool   // not tried again before retryAt
	told    map[lvs.Edit]string // refusals that were logged, so that each is an error once
	unsure  []lvs.Edit          // may have been made or not: nothing is planned before the next read
	silence string              // why the table could not be read or programmed at all; "" when it could
	changed bool                // since it was last told to the status
	wait    time.Duration
	retryAt time.Time // zero when nothing is to be tried again
}

// retry ends the wait: the table is read, then all that is refused is planned anew.
func (t *trouble) retry() {
	t.readDue, t.retryAt = true, time.Time{}
}

// again has the next attempt wait, each time longer.
func (t *trouble) again(now time.Time) {
	t.wait = min(max(2*t.wait, backoffFirst), backoffMost)
	t.retryAt = now.Add(t.wait)
}

// text says what the trouble is, in one line; "" for none.
func (t *trouble) text() string {
	if t.silence != "" {
		return t.silence
	}
	if len(t.refused) == 0 {
		return ""
	}
	// Of several the first of a plan: real servers are refused because their virtual service is.
	first := slices.MinFunc(slices.Collect(maps.Keys(t.refused)), func(a, b lvs.Edit) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), a.Key.Compare(b.Key), a.At.Compare(b.At))
	})
	line := "refused: " + first.String() + ": " + t.told[first]
	if more := len(t.refused) - 1; more > 0 {
		line += fmt.Sprintf(" (and %d more)", more)
	}
	return line
}

// advance gives the applier its next job, if it has none: a stop, a reload and a look at the
// table read it first; else what is asked now is applied.
func (l *loop) advance() {
	for l.then == nil && !l.ended {
		switch {
		case len(l.stops) > 0:
			l.read(l.stop)
		case len(l.reloads) > 0:
			l.read(l.reload)
		case l.trouble.readDue:
			l.read(l.look)
		case l.dirty && len(l.trouble.unsure) == 0:
			l.program()
		default:
			if l.trouble.changed {
				now := l.trouble.text()
				l.engine.trouble.Store(&now)
				l.trouble.changed = false
			}
			return
		}
	}
}

func (l *loop) read(then func(outcome)) {
	l.then = then
	l.applier.jobs <- nil
}

// program applies the difference between what was asked last and what is asked now.
func (l *loop) program() {
	l.dirty = false
	edits := slices.DeleteFunc(l.state.Edits(l.last), func(e lvs.Edit) bool { return l.trouble.refused[e] })
	if len(edits) == 0 {
		for _, reply := range l.applied {
			reply(nil)
		}
		l.applied = nil
		if len(l.trouble.refused) == 0 {
			l.trouble.wait = 0
		}
		return
	}
	l.then = func(out outcome) { l.settle(edits, out.err) }
	l.applier.jobs <- edits
}

// settle takes what became of edits: what was made counts as asked, what was refused stays
// planned.
func (l *loop) settle(edits []lvs.Edit, err error) {
	l.dirty = true // more may have been decided meanwhile; if not, the next plan is empty
	l.last = lvs.After(l.last, edits, err)
	var apply *lvs.ApplyError
	switch {
	case err == nil:
		l.made(edits, nil)
	case errors.As(err, &apply):
		failed := map[lvs.Edit]bool{}
		for _, f := range apply.Failed {
			failed[f.Edit] = true
			l.refuse(f)
		}
		l.made(edits, failed)
		l.trouble.again(time.Now())
	default:
		l.engine.counts.refused.Add(uint64(len(edits)))
		l.trouble.unsure = append(l.trouble.unsure, edits...)
		l.trouble.again(time.Now())
		l.trouble.silence, l.trouble.changed = "the table could not be programmed: "+err.Error(), true
		l.o.Log.Error("the kernel's table could not be programmed",
			"reason", err, "edits", len(edits), "retry", l.trouble.wait)
	}
}

// made counts the edits that are not in failed.
func (l *loop) made(edits []lvs.Edit, failed map[lvs.Edit]bool) {
	for _, e := range edits {
		if failed[e] {
			continue
		}
		l.engine.counts.edits.Add(1)
		if _, told := l.trouble.told[e]; told {
			delete(l.trouble.told, e)
			l.o.Log.Info("made after all: "+e.String(), "virtual", state.VirtualName(e.Key))
		}
	}
}

func (l *loop) refuse(f lvs.EditError) {
	l.engine.counts.refused.Add(1)
	t := &l.trouble
	if t.refused == nil {
		t.refused, t.told = map[lvs.Edit]bool{}, map[lvs.Edit]string{}
	}
	t.refused[f.Edit], t.changed = true, true
	why := f.Err.Error()
	log := l.o.Log.Error
	if t.told[f.Edit] == why {
		log = l.o.Log.Debug // the operator knows
	}
	t.told[f.Edit] = why
	log("refused: "+f.Edit.String(), "virtual", state.VirtualName(f.Edit.Key), "reason", why)
}

// take makes use of a table that was just read: edits whose fate was unknown are settled by
// it, refused ones may be tried again, and what others did to it is noticed and returned.
func (l *loop) take(have lvs.Table) []state.Transition {
	t := &l.trouble
	l.last = lvs.Reread(l.last, t.unsure, have)
	if t.silence != "" || len(t.refused) > 0 {
		t.silence, t.changed = "", true
		clear(t.refused)
	}
	t.unsure, t.readDue, t.retryAt = nil, false, time.Time{}
	var ts []state.Transition
	now := time.Now()
	l.last, ts = l.state.Drifted(l.last, have, now)
	l.dirty = true
	l.lookedAt, l.weighAt = now, time.Time{}
	return append(ts, l.state.Weigh(now)...)
}

// look is the regular read, and the one before a retry.
func (l *loop) look(out outcome) {
	l.trouble.readDue = false
	if out.err != nil {
		l.unreadable(out.err)
		return
	}
	l.emit(l.take(out.table))
}

func (l *loop) unreadable(err error) {
	l.trouble.again(time.Now())
	l.trouble.silence, l.trouble.changed = "the table could not be read: "+err.Error(), true
	l.o.Log.Error("the kernel's table could not be read", "reason", err, "retry", l.trouble.wait)
}

// reload goes over to the oldest configuration that waits.
func (l *loop) reload(out outcome) {
	r := l.reloads[0]
	l.reloads = l.reloads[1:]
	if out.err != nil {
		r.reply(fmt.Errorf("reload: read the IPVS table: %w", out.err))
		l.unreadable(out.err)
		return
	}
	seen := l.take(out.table)
	if !r.decided.CompareAndSwap(false, true) {
		l.emit(seen)
		return // nobody waits for it any more
	}
	l.emit(notRebuilt(seen)) // what is missing is new to the configuration
	next, ts := state.New(r.cfg, l.state, out.table, state.Options{Now: time.Now()})
	l.state = next
	l.last = base(l.last, out.table, next.Desired())
	l.applied = append(l.applied, r.reply)
	l.dirty = true
	clear(l.trouble.told)
	l.o.Monitor.Set(next.Checks())
	l.faults.keep(next.Checks())
	l.emit(ts)
	l.remember()
	l.publish()
}

// notRebuilt leaves out that missing virtual services are made anew.
func notRebuilt(ts []state.Transition) []state.Transition {
	return slices.DeleteFunc(ts, func(t state.Transition) bool { return t.Change == state.AddedService })
}

// base is what counts as asked last when want takes the place of an older configuration: of the
// virtual services in want, what the kernel has, so that what nobody knows is purged; of
// those that leave, what was asked.
func base(last, have, want lvs.Table) lvs.Table {
	out := lvs.Adopt(have, want)
	for k, s := range last {
		if _, stays := want[k]; !stays {
			out[k] = s
		}
	}
	return out
}

// stop ends the loop. The table was read first so that weights set by hand since the last
// look are remembered; if it could not be, that is all that is lost.
func (l *loop) stop(out outcome) {
	if out.err == nil {
		asked := l.last
		l.emit(notRebuilt(l.take(out.table)))
		for k, s := range asked { // nothing is rebuilt any more
			if _, ok := l.last[k]; !ok {
				l.last[k] = s
			}
		}
	}
	ts, keep := l.state.Stop(time.Now())
	l.emit(ts)
	edits := lvs.Plan(l.last, keep)
	if len(edits) == 0 {
		l.end(nil)
		return
	}
	// Nothing else counts any more: a verdict that comes now would bring back what was taken out,
	// and start a fallbackcommand that nobody stops.
	l.applier.jobs <- edits
	out = <-l.applier.outcomes
	if out.err != nil {
		out.err = fmt.Errorf("stop: %w", out.err)
	}
	l.end(out.err)
}

// end replies to all who wait.
func (l *loop) end(err error) {
	l.ended = true
	for _, r := range l.reloads {
		r.reply(ErrStopped)
	}
	for _, reply := range slices.Concat(l.applied, l.stops) {
		reply(err)
	}
}
