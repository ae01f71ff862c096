// Package monitor runs checks: each distinct one on its own schedule, one probe in
// flight per check, what is due started in batches once per tick.
//
// One goroutine owns the schedule: a heap of due times for the checks at rest, a heap of
// deadlines for those with a probe in flight. A check at rest costs no goroutine and no
// timer. Slots are absolute: a check due at t is next due at t + interval, however long
// its probe took; slots that pass while its probe runs, while too many probes are in
// flight, or while its last observation waits for the reader, are skipped and counted.
package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

// Runner runs the probes of one kind of check: a plugin process behind its stream, or a
// bounded pool around an sdk.Checker inside the daemon. Register and Start never block on
// a probe. IDs are the monitor's and never used twice in a Runner's life.
type Runner interface {
	// Register makes a check known. Options are not changed afterwards.
	Register(id uint64, t sdk.Target, o sdk.Options)
	// Forget drops a check; a probe in flight is cancelled and its result may or may not come.
	Forget(id uint64)
	// Start starts one probe of each; every started probe yields exactly one Result
	// (Unknown when the runner fails), at the latest one second after Remaining.
	Start(due []sdk.Due)
	// Results delivers verdicts in batches. It is closed when the Runner has been shut down.
	Results() <-chan []sdk.Result
}

// Tick is how often what is due is started: often enough for the eye, seldom enough
// that starting costs little.
const Tick = 10 * time.Millisecond

// Grace is what a Runner may take beyond Remaining to deliver a Result. A probe that
// takes longer is given up: its observation is Unknown and its result, should it come, is dropped.
const Grace = time.Second

// defaultMaxInFlight bounds the probes in flight when Options does not.
const defaultMaxInFlight = 4096

// Options are what a Monitor is made of. Runner is required; every other zero value
// stands for a sensible default.
type Options struct {
	// Runner gives the Runner of a kind and pool (state.Check). It is asked when the first
	// check needs it, and again only after an error (at most once a second) or after
	// the Runner closed its Results. One Runner may serve several kinds and pools. It must
	// not block and not call the Monitor. The Monitor never shuts a Runner down: whoever
	// made it does.
	Runner func(kind, pool string) (Runner, error)
	// MaxInFlight bounds the probes in flight over all checks; 0 means 4096. What is due
	// beyond it waits for a place, longest overdue first.
	MaxInFlight int
	// Log receives what an operator should know beyond the observations; nil: nothing is logged.
	Log *slog.Logger
	// Rand orders the spread of new checks; nil: a random order. For tests.
	Rand *rand.Rand
}

// Stats counts what a Monitor did since it was made. Checks and InFlight are of now.
type Stats struct {
	Checks   int   // in the set
	InFlight int   // probes started and not yet answered
	Started  int64 // probes
	Late     int64 // slots skipped because MaxInFlight probes were in flight
	Overrun  int64 // slots skipped because the check's own probe was still running
	Held     int64 // slots skipped because the check's last observation had not been taken
	Overdue  int64 // probes given up because their Runner did not answer in time
}

// Monitor runs a set of checks and delivers what they say.
type Monitor struct {
	sets   chan setRequest
	out    chan []state.Observation
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the loop and all that it started have ended
	ending sync.Once
	counts counts
}

// counts is what Stats reads while the loop writes.
type counts struct {
	checks, inFlight, started, late, overrun, held, overdue atomic.Int64
}

// setRequest carries one Set to the loop; taken is closed when it holds.
type setRequest struct {
	checks []state.Check
	taken  chan struct{}
}

// New starts a Monitor without checks. Close ends it.
func New(o Options) *Monitor {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	m := &Monitor{
		sets: make(chan setRequest),
		out:  make(chan []state.Observation),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	l := newLoop(o, m)
	go l.run() // Close waits for it
	return m
}

// Set replaces the set of checks. A check that was in the set before, the same in all
// that reaches its checker, keeps its schedule and what is in flight; when only its interval
// changed, its next slot follows from its last one. What is no longer in the set is
// forgotten: none of its verdicts is delivered after Set has returned, except in a batch
// that the reader has already taken. New checks are first probed at once when there are few, and spread
// over at most one interval when there are many; after that over their intervals. Of
// two checks with one ID the first counts. After Close it does nothing.
func (m *Monitor) Set(checks []state.Check) {
	req := setRequest{checks: slices.Clone(checks), taken: make(chan struct{})}
	select {
	case m.sets <- req:
		<-req.taken
	case <-m.stop:
	}
}

// Observations delivers what the checks say, in batches, in the order in which it
// became known. Nothing is lost while the reader is slow: a check is not probed again
// before its last observation has been taken. The channel is closed after Close.
func (m *Monitor) Observations() <-chan []state.Observation { return m.out }

// Stats says what the Monitor has done so far.
func (m *Monitor) Stats() Stats {
	c := &m.counts
	return Stats{
		Checks:   int(c.checks.Load()),
		InFlight: int(c.inFlight.Load()),
		Started:  c.started.Load(),
		Late:     c.late.Load(),
		Overrun:  c.overrun.Load(),
		Held:     c.held.Load(),
		Overdue:  c.overdue.Load(),
	}
}

// Close forgets all checks at their Runners, drops what has not been taken, closes
// Observations, and waits for that, at most until ctx ends. It may be called again.
func (m *Monitor) Close(ctx context.Context) error {
	m.ending.Do(func() { close(m.stop) })
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the monitor: %w", context.Cause(ctx))
	}
}
