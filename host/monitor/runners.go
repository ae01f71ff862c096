package monitor

import (
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// retryRunner is how long a kind whose Runner could not be had is left alone.
const retryRunner = time.Second

// runnerKey is what one Runner serves.
type runnerKey struct{ kind, pool string }

// runner is a Runner in use, or the reason why there is none.
type runner struct {
	key     runnerKey
	r       Runner
	err     error
	retryAt time.Duration // when err may be tried again
	due     []sdk.Due     // collected in this tick
}

// delivery is a batch from a Runner, or the news that it is gone.
type delivery struct {
	from   *runner
	batch  []sdk.Result
	closed bool
}

// runnerFor gives the Runner of key, asking for it when there is none.
func (l *loop) runnerFor(key runnerKey, now time.Duration) (*runner, error) {
	known, ok := l.runners[key]
	if ok && (known.err == nil || now < known.retryAt) {
		return known, known.err
	}
	r, err := l.o.Runner(key.kind, key.pool)
	if err != nil {
		if !ok || known.err.Error() != err.Error() {
			l.o.Log.Error("no runner for checks", "kind", key.kind, "pool", key.pool, "error", err)
		}
		l.runners[key] = &runner{key: key, err: err, retryAt: now + retryRunner}
		return nil, err
	}
	rn := &runner{key: key, r: r}
	l.runners[key] = rn
	l.forwarders.Add(1)
	go l.forward(rn) // run waits for it
	return rn, nil
}

// forward brings a Runner's results to the loop until the Runner or the Monitor ends.
func (l *loop) forward(rn *runner) {
	defer l.forwarders.Done()
	results := rn.r.Results()
	for {
		d := delivery{from: rn}
		select {
		case batch, ok := <-results:
			d.batch, d.closed = batch, !ok
		case <-l.m.stop:
			return
		}
		select {
		case l.deliveries <- d:
		case <-l.m.stop:
			return
		}
		if d.closed {
			return
		}
	}
}

// bind makes sure that the leg is registered with a living Runner.
func (l *loop) bind(e *entry, g *leg, kind string, now time.Duration) error {
	if g.runner != nil {
		return nil
	}
	rn, err := l.runnerFor(runnerKey{kind, e.check.Pool}, now)
	if err != nil {
		return err
	}
	l.lastID++
	g.runner, g.id = rn, l.lastID
	l.byID[g.id] = e
	rn.r.Register(g.id, e.check.Target, e.check.Options)
	return nil
}

// unbind forgets the leg's registration, if there is one.
func (l *loop) unbind(g *leg) {
	if g.runner == nil {
		return
	}
	g.runner.r.Forget(g.id)
	delete(l.byID, g.id)
	*g = leg{}
}

// lost handles a Runner that has shut down: its probes in flight yield Unknown, and its
// checks are registered anew when they are next due.
func (l *loop) lost(rn *runner, now time.Duration) {
	if l.runners[rn.key] == rn {
		delete(l.runners, rn.key)
	}
	at := time.Now()
	for _, e := range l.entries {
		for _, g := range []*leg{&e.main, &e.connect} {
			if g.runner != rn {
				continue
			}
			flying := e.flight == g
			delete(l.byID, g.id)
			*g = leg{}
			if flying {
				l.finish(e, sdk.Unknown("the %s checker was shut down", rn.key.kind), at, now)
			}
		}
	}
}
