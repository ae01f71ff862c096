package engine

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

// quietFor is how long nothing more is told of one reason once it was told: a plugin that
// dies has all its checks fail alike.
const quietFor = 10 * time.Second

// faults is what is told about checks that cannot tell: one line for all that have the same
// reason, and one when they work again.
type faults struct {
	log     *slog.Logger
	now     map[state.CheckID]*fault
	notices map[topic]*notice
	dueAt   time.Time // of a notice that waits; zero when none does
}

// fault is a check that cannot tell.
type fault struct {
	shape  string
	reason string
	told   bool
}

// topic is what one notice is about.
type topic struct {
	shape string // of the reason, see shapeOf
	works bool   // again
}

// ends is 1 for the end of a fault, which is told after its beginning.
func (t topic) ends() int {
	if t.works {
		return 1
	}
	return 0
}

// notice gathers the checks to be told together.
type notice struct {
	checks []state.CheckID
	quiet  time.Time // until then nothing is told
}

func newFaults(log *slog.Logger) faults {
	return faults{log: log, now: map[state.CheckID]*fault{}, notices: map[topic]*notice{}}
}

// take notes what one verdict says. What it changes is told by the next tell.
func (f *faults) take(o state.Observation) {
	was := f.now[o.Check]
	if o.Verdict.Status != sdk.StatusUnknown {
		if was != nil {
			delete(f.now, o.Check)
			if was.told { // nobody waits to hear of the end of what was not told
				f.add(topic{was.shape, true}, o.Check)
			}
		}
		return
	}
	shape := shapeOf(o.Verdict.Reason)
	if was != nil && was.shape == shape {
		return
	}
	f.now[o.Check] = &fault{shape: shape, reason: o.Verdict.Reason}
	f.add(topic{shape, false}, o.Check)
}

func (f *faults) add(about topic, check state.CheckID) {
	n := f.notices[about]
	if n == nil {
		n = &notice{}
		f.notices[about] = n
	}
	n.checks = append(n.checks, check)
}

// tell writes what may be told now.
func (f *faults) tell(now time.Time) {
	f.dueAt = time.Time{}
	order := func(a, b topic) int { return cmp.Or(strings.Compare(a.shape, b.shape), a.ends()-b.ends()) }
	for _, about := range slices.SortedFunc(maps.Keys(f.notices), order) {
		n := f.notices[about]
		switch {
		case now.Before(n.quiet):
			if len(n.checks) > 0 && (f.dueAt.IsZero() || n.quiet.Before(f.dueAt)) {
				f.dueAt = n.quiet
			}
		case len(n.checks) == 0:
			delete(f.notices, about)
		default:
			if f.write(about, n.checks) {
				n.quiet = now.Add(quietFor)
			}
			n.checks = nil
		}
	}
}

// write writes one line about those of checks of which it is still true, and tells
// whether there are any.
func (f *faults) write(about topic, checks []state.CheckID) bool {
	var example state.CheckID
	var reason string
	count := 0
	for _, id := range checks {
		is := f.now[id]
		switch {
		case about.works:
			if is != nil {
				continue
			}
		case is == nil || is.told || is.shape != about.shape:
			continue
		default:
			is.told = true
		}
		if count++; count == 1 {
			example = id
			if is != nil {
				reason = is.reason
			}
		}
	}
	switch {
	case count == 0:
		return false
	case about.works:
		f.log.Info("check works again", "check", string(example), "checks", count)
	default:
		f.log.Warn("check cannot tell; its real servers stay as they are",
			"check", string(example), "checks", count, "reason", reason)
	}
	return true
}

// keep forgets all checks but these.
func (f *faults) keep(checks []state.Check) {
	known := make(map[state.CheckID]bool, len(checks))
	for _, c := range checks {
		known[c.ID] = true
	}
	maps.DeleteFunc(f.now, func(id state.CheckID, _ *fault) bool { return !known[id] })
}

// shapeOf is a reason without its numbers: process ids, addresses and times do not make
// another reason.
func shapeOf(reason string) string {
	var out strings.Builder
	number := false
	for _, r := range reason {
		digit := '0' <= r && r <= '9'
		switch {
		case !digit:
			out.WriteRune(r)
		case !number:
			out.WriteByte('0')
		}
		number = digit
	}
	return out.String()
}
