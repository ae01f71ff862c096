package plugin

import (
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Runner runs the checks of one service in its plugin's process, whatever becomes of that:
// registrations outlive the process, and every started probe yields exactly one Result, at the
// latest a second after its time. IDs are the caller's, never used twice in a
// Runner's life. No method blocks.
type Runner struct {
	process *process
	service string
	checks  map[uint64]*check // guarded by process.mu
	results chan []sdk.Result
	kick    chan struct{} // capacity 1: something is in pending
	done    chan struct{} // closed by shut

	mu      sync.Mutex // guards pending, which is bounded by the probes in flight
	pending []sdk.Result
}

// check is one registration.
type check struct {
	runner  *Runner
	id      uint64 // the Runner's number
	wire    uint64 // the process's: a new one when the plugin is told of it anew
	target  sdk.Target
	options sdk.Options

	flight   flight
	deadline time.Time     // of the probe in flight
	whole    time.Duration // of its time, of which it may have spent some being held
	short    bool          // it took off with so little of its time left that being late is not the server's fault
	crashes  int           // in a row that it was in flight in
	aside    time.Time     // until when it is set aside
}

// flight is where a check's probe is.
type flight uint8

const (
	resting flight = iota // no probe is in flight
	held                  // waiting for the process to start, or for its turn as a suspect
	flying                // in the plugin
)

func newRunner(p *process, service string) *Runner {
	r := &Runner{
		process: p, service: service,
		checks:  map[uint64]*check{},
		results: make(chan []sdk.Result),
		kick:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	p.attach(r)
	go r.pump() // until shut
	return r
}

// Register makes a check known. Options are not changed afterwards.
func (r *Runner) Register(id uint64, t sdk.Target, o sdk.Options) {
	r.process.register(&check{runner: r, id: id, target: t, options: o})
}

// Forget drops a check; a probe in flight is cancelled, its result does not come.
func (r *Runner) Forget(id uint64) { r.process.forget(r, id) }

// Start starts one probe of each.
func (r *Runner) Start(due []sdk.Due) { r.process.start(r, due) }

// Results delivers verdicts in batches. It is closed when the Runner was shut down.
func (r *Runner) Results() <-chan []sdk.Result { return r.results }

// post takes results for delivery.
func (r *Runner) post(batch ...sdk.Result) {
	r.mu.Lock()
	r.pending = append(r.pending, batch...)
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default: // pump is awake already
	}
}

// pump delivers until shut.
func (r *Runner) pump() {
	defer close(r.results)
	for {
		select {
		case <-r.kick:
		case <-r.done:
			return
		}
		r.mu.Lock()
		batch := r.pending
		r.pending = nil
		r.mu.Unlock()
		if len(batch) == 0 {
			continue // it went with the one before
		}
		select {
		case r.results <- batch:
		case <-r.done:
			return
		}
	}
}

// shut ends delivery. It is called once, by the process.
func (r *Runner) shut() { close(r.done) }
