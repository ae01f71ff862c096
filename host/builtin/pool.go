// Package builtin holds the checks that the daemon makes itself, and the pool that runs
// any sdk.Checker of this process as a kind of check of its own.
package builtin

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// How long a probe may outlive its time before it is given up, and how often that is
// looked at while anything runs: together within the second that a runner of checks has
// beyond Remaining.
const (
	grace      = 600 * time.Millisecond
	sweepEvery = 300 * time.Millisecond
)

// defaultMax bounds the probes of a Pool that run at once when Options does not.
const defaultMax = 1024

// Options are those of a Pool. The zero value is usable.
type Options struct {
	// Max bounds the probes that run at once; 0 means 1024. What is started beyond it waits
	// for a place, within its own time.
	Max int
}

// Pool runs the probes of one sdk.Checker inside this process: a goroutine per running
// probe, none per check at rest. A checker that is an sdk.Preparer has its options
// decoded once per registration. A probe that panics, or does not come back when its
// time is over, yields Unknown; the latter keeps its place until it does come back.
// Methods may be called concurrently; after Close they do nothing.
type Pool struct {
	checker sdk.Checker
	max     int

	calls   chan call
	done    chan finished
	results chan []sdk.Result
	stats   chan Stats
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the owner and all probes have ended

	ctx    context.Context // of every probe; ends with the Pool
	cancel context.CancelFunc
}

// Stats says how full a Pool is. After Close it is zero.
type Stats struct {
	Registered int
	Running    int // probes that have a place, stuck ones included
	Waiting    int // for a place
	Stuck      int // given up and still not back
}

// call is one method of Runner on its way to the owner: exactly one part is set.
type call struct {
	register *registration
	forget   uint64 // 0: not this one
	start    []sdk.Due
}

// registration is a check that the pool knows.
type registration struct {
	id      uint64
	target  sdk.Target
	options sdk.Options
	probe   func(context.Context, sdk.Target) sdk.Verdict // nil until first needed; by the running probe
	run     *run                                          // what is waiting or running for it; nil: nothing
}

// run is one probe from its start to its result.
type run struct {
	reg      *registration
	begun    time.Time // Start
	deadline time.Time
	waited   time.Duration      // for its place
	cancel   context.CancelFunc // nil while it waits for a place
	answered bool               // a result has been given, or none is wanted any more
	stuck    bool
}

// fair turns a verdict that the server did not earn into Unknown: a probe that spent a tenth of
// its time or more waiting for a place, and then ran out of time, might have succeeded.
func (r *run) fair(v sdk.Verdict, late bool) sdk.Verdict {
	budget := r.deadline.Sub(r.begun)
	late = late || v.Code == sdk.CodeTimeout || v.Code == sdk.CodeL4Timeout
	if v.Status != sdk.StatusDown || !late || r.waited == 0 || r.waited < budget/10 {
		return v
	}
	return sdk.Unknown("waited %v of %v for a place, and the rest was too short",
		r.waited.Round(time.Millisecond), budget.Round(time.Millisecond))
}

// finished is what a probe's goroutine leaves behind.
type finished struct {
	run     *run
	verdict sdk.Verdict
}

// Runner makes a Pool around checker. Close ends it.
func Runner(checker sdk.Checker, o Options) *Pool {
	if o.Max <= 0 {
		o.Max = defaultMax
	}
	p := &Pool{
		checker: checker,
		max:     o.Max,
		calls:   make(chan call),
		done:    make(chan finished, 64),
		results: make(chan []sdk.Result),
		stats:   make(chan Stats),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	own := newOwner(p)
	go own.loop() // Close waits for it
	return p
}

// Register makes a check known. IDs start at 1.
func (p *Pool) Register(id uint64, t sdk.Target, o sdk.Options) {
	p.call(call{register: &registration{id: id, target: t, options: o}})
}

// Forget drops a check and cancels what runs for it, whose result is dropped.
func (p *Pool) Forget(id uint64) { p.call(call{forget: id}) }

// Start starts one probe of each. A check that is not known, or whose last probe has
// not ended, yields Unknown.
func (p *Pool) Start(due []sdk.Due) { p.call(call{start: due}) }

// Results delivers verdicts in batches: failures at once, and with them what has gathered;
// successes within milliseconds. It is closed by Close.
func (p *Pool) Results() <-chan []sdk.Result { return p.results }

// Stats says how full the Pool is now.
func (p *Pool) Stats() Stats {
	select {
	case s := <-p.stats:
		return s
	case <-p.stop:
		return Stats{}
	}
}

// call hands c to the owner, which is always quick to take it.
func (p *Pool) call(c call) {
	select {
	case p.calls <- c:
	case <-p.stop:
	}
}

// Close cancels every probe, closes Results and waits until all probes have come back, at most
// until ctx ends. It must be called once.
func (p *Pool) Close(ctx context.Context) error {
	close(p.stop)
	p.cancel()
	select {
	case <-p.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close a pool of checks: %w", context.Cause(ctx))
	}
}

// execute is the goroutine of one probe. The owner waits for what it leaves in done.
func (p *Pool) execute(ctx context.Context, r *run) {
	v := r.fair(p.probe(ctx, r.reg), ctx.Err() != nil)
	r.cancel()
	p.done <- finished{r, v}
}

// probe runs the checker once, whatever it does. No other probe of the registration
// runs meanwhile, so that its decoded options need no lock.
func (p *Pool) probe(ctx context.Context, reg *registration) (v sdk.Verdict) {
	defer func() {
		if fault := recover(); fault != nil {
			v = sdk.Unknown("the checker panicked: %v", fault)
			v.Transcript = string(debug.Stack())
		}
	}()
	if reg.probe == nil {
		if prep, ok := p.checker.(sdk.Preparer); ok {
			probe, err := prep.Prepare(reg.target.Service, reg.options)
			if err != nil {
				return sdk.Unknown("options: %v", err)
			}
			reg.probe = probe
		} else {
			reg.probe = func(ctx context.Context, t sdk.Target) sdk.Verdict {
				return p.checker.Probe(ctx, t, reg.options)
			}
		}
	}
	return reg.probe(ctx, reg.target)
}
