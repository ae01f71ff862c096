package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// Monitor runs the checks.
type Monitor interface {
	// Set says which checks to run from now on; those known already go on undisturbed.
	Set(checks []state.Check)
	// Observations delivers verdicts. The monitor waits until they are taken.
	Observations() <-chan []state.Observation
}

// Sink learns of transitions: mail, fallbackcommand, hooks.
type Sink interface {
	// Take is given transitions in the order of decision. It must not block, and must not
	// change the slice.
	Take(ts []state.Transition)
}

// Options are the engine's surroundings.
type Options struct {
	Controller lvs.Controller
	Monitor    Monitor
	Sinks      []Sink
	Log        *slog.Logger // nil: no log
	// DriftInterval is how often the kernel's table is read for changes that are not ours; 0: 30 s.
	DriftInterval time.Duration
	// ApplyTimeout bounds one job of the kernel; 0: 10 s.
	ApplyTimeout time.Duration
	Memory       state.Memory      // what the state file remembers
	Maintenance  state.Maintenance // who is in maintenance from the start
	Salt         []byte            // see state.Options; empty: a random one
	// MemoryChanged is told what to remember whenever that changes, by the engine's own
	// goroutine: it must not block. May be nil.
	MemoryChanged func(state.Memory)
	// Observed is given the observations of virtual services that have a monitorfile, as MemoryChanged
	// is. May be nil.
	Observed func([]state.Sighting)
}

// Counts are totals since the start.
type Counts struct {
	Transitions  uint64
	Edits        uint64 // made
	RefusedEdits uint64 // refused by the kernel, each attempt
	Faults       uint64 // verdicts Unknown: checks that could not tell
}

// ErrStopped is returned for requests to an engine that has been stopped.
var ErrStopped = errors.New("the engine has been stopped")

// Engine is a running engine. Its methods may be called concurrently.
type Engine struct {
	requests chan func(*loop)
	snapshot atomic.Pointer[state.Snapshot]
	trouble  atomic.Pointer[string]
	counts   struct{ transitions, edits, refused, faults atomic.Uint64 }
	done     chan struct{}
}

// Start reads the table, adopts what is there, programs the first plan, has the monitor
// start the checks, and returns: the table is then as asked. ctx bounds the start alone; the
// engine runs until Stop. On an error, which names the edit that was refused or wraps what
// the Controller said, nothing runs, no sink was told anything, and what was made is left as it is.
func Start(ctx context.Context, cfg *config.Config, o Options) (*Engine, error) {
	o.fill()
	have, err := o.Controller.Table(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the IPVS table: %w", err)
	}
	st, ts := state.New(cfg, nil, have, state.Options{
		Now: time.Now(), Memory: o.Memory, Maintenance: o.Maintenance, Salt: o.Salt,
	})
	last := lvs.Adopt(have, st.Desired())
	edits := st.Edits(last)
	if len(edits) > 0 {
		if err := o.Controller.Apply(ctx, edits); err != nil {
			return nil, fmt.Errorf("program the IPVS table: %w", err)
		}
	}
	e := &Engine{requests: make(chan func(*loop)), done: make(chan struct{})}
	e.counts.edits.Add(uint64(len(edits)))
	l := newLoop(e, o, st, lvs.After(last, edits, nil))
	l.emit(ts)
	l.publish()
	o.Monitor.Set(st.Checks())
	go l.applier.run() // ends when the loop closes its jobs
	go l.run()         // ends with Stop; Done waits for it
	return e, nil
}

func (o *Options) fill() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.DriftInterval <= 0 {
		o.DriftInterval = 30 * time.Second
	}
	if o.ApplyTimeout <= 0 {
		o.ApplyTimeout = 10 * time.Second
	}
	if len(o.Salt) == 0 {
		o.Salt = []byte(rand.Text())
	}
}

// Reload goes over to another configuration and returns once the table follows it. On an
// error (ctx, ErrStopped, the table cannot be read) nothing has changed. An edit that the
// kernel refuses is no error: it is logged, stays planned and is tried again. Nor is it one when
// ctx ends after the engine has gone over: then Reload no longer waits for the table.
func (e *Engine) Reload(ctx context.Context, cfg *config.Config) error {
	decided := new(atomic.Bool)
	err := e.ask(ctx, func(l *loop, reply func(error)) { l.reloads = append(l.reloads, reload{cfg, reply, decided}) })
	if ctx.Err() != nil && !decided.CompareAndSwap(false, true) {
		return nil
	}
	return err
}

// SetMaintenance says who is in maintenance from now on. It returns when that has been decided.
func (e *Engine) SetMaintenance(ctx context.Context, m state.Maintenance) error {
	return e.ask(ctx, func(l *loop, reply func(error)) {
		l.emit(l.state.SetMaintenance(m, time.Now()))
		l.stale() // a reason alone is no transition
		reply(nil)
	})
}

// Alive returns nil once the engine's goroutine has taken this very request: a sign of life. It returns an
// error when ctx ends first, and ErrStopped.
func (e *Engine) Alive(ctx context.Context) error {
	return e.ask(ctx, func(_ *loop, reply func(error)) { reply(nil) })
}

// Snapshot returns what is known, at most a fifth of a second old; transitions show at once.
func (e *Engine) Snapshot() *state.Snapshot { return e.snapshot.Load() }

// Trouble says in one line why the kernel's table is not as asked; "" when nothing is in the way.
func (e *Engine) Trouble() string {
	if t := e.trouble.Load(); t != nil {
		return *t
	}
	return ""
}

// Counts returns the totals.
func (e *Engine) Counts() Counts {
	c := &e.counts
	return Counts{
		Transitions: c.transitions.Load(), Edits: c.edits.Load(),
		RefusedEdits: c.refused.Load(), Faults: c.faults.Load(),
	}
}

// Stop ends the engine: virtual services with cleanstop = yes are removed, all others stay as
// they are. It returns when that is done, with the error of the kernel if there was one; a
// second Stop waits for the first and returns nil. When ctx ends first the engine goes on stopping.
func (e *Engine) Stop(ctx context.Context) error {
	err := e.ask(ctx, func(l *loop, reply func(error)) { l.stops = append(l.stops, reply) })
	if errors.Is(err, ErrStopped) {
		return nil
	}
	return err
}

// Done is closed when the engine has stopped.
func (e *Engine) Done() <-chan struct{} { return e.done }

// ask has the loop run do and waits for the reply, which do or the loop gives exactly once.
func (e *Engine) ask(ctx context.Context, do func(l *loop, reply func(error))) error {
	answer := make(chan error, 1)
	select {
	case e.requests <- func(l *loop) { do(l, func(err error) { answer <- err }) }:
	case <-e.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
