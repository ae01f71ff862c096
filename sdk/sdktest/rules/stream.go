package rules

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
)

// errNoStream is a fault of whoever tries a rule on something that has no stream.
var errNoStream = errors.New("this rule is tried over a stream")

// run opens a stream for f.
func run(ctx context.Context, c sdk.Checker, f func(*tally) error) error {
	r, ok := c.(Runner)
	if !ok {
		return errNoStream
	}
	s, err := r.Run(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return f(&tally{stream: s, got: map[uint64][]sdk.Verdict{}})
}

// tally counts the verdicts of a stream.
type tally struct {
	stream *wire.Stream
	got    map[uint64][]sdk.Verdict
}

// start starts one probe of each.
func (t *tally) start(limit time.Duration, ids ...uint64) {
	var due []sdk.Due
	for _, id := range ids {
		due = append(due, sdk.Due{ID: id, Remaining: limit})
	}
	t.stream.Start(due)
}

// collect gathers until n verdicts are there or limit is over.
func (t *tally) collect(n int, limit time.Duration) error {
	over := time.After(limit)
	for have := 0; have < n; {
		select {
		case batch, ok := <-t.stream.Results():
			if !ok {
				return fmt.Errorf("the stream ended (%v)", t.stream.Err())
			}
			for _, r := range batch {
				if r.ID == forgotten {
					continue // need not come, and may
				}
				have++
				t.got[r.ID] = append(t.got[r.ID], r.Verdict)
			}
		case <-over:
			return fmt.Errorf("%d of %d verdicts came within %v", have, n, limit)
		}
	}
	return nil
}

// surplus waits a little for verdicts that must not come.
func (t *tally) surplus(limit time.Duration) error {
	select {
	case batch, ok := <-t.stream.Results():
		if !ok {
			return fmt.Errorf("the stream ended (%v)", t.stream.Err())
		}
		return fmt.Errorf("%d verdicts more than probes were started", len(batch))
	case <-time.After(limit):
		return nil
	}
}

// once says which of the checks 1 to n did not get one verdict, and clears the tally.
func (t *tally) once(n int) error {
	defer clear(t.got)
	for id := range uint64(n) {
		if have := len(t.got[id+1]); have != 1 {
			return fmt.Errorf("check %d of %d got %d verdicts for one probe", id+1, n, have)
		}
	}
	if len(t.got) != n {
		return errors.New("there are verdicts about checks that were never registered")
	}
	return nil
}

// longest is how long a verdict may take that is only counted.
const longest = 5 * time.Second

// answersOnce starts checks of a closed port and of a silent server twice.
func answersOnce(ctx context.Context, c sdk.Checker, s Sample) error {
	return s.with(ClosedPort(s.Service.Network), Localhost(), func(refusing sdk.Target) error {
		return s.with(silentOver(s.Service.Network), Localhost(), func(silent sdk.Target) error {
			return run(ctx, c, func(t *tally) error {
				const n = 6
				ids := make([]uint64, n)
				for i := range ids {
					ids[i] = uint64(i + 1)
					target := refusing
					if i%2 == 1 {
						target = silent
					}
					t.stream.Register(ids[i], target, s.Options)
				}
				for range 2 {
					t.start(short, ids...)
					if err := t.collect(n, longest); err != nil {
						return err
					}
					if err := t.surplus(short); err != nil {
						return err
					}
					if err := t.once(n); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
}

// forgotten is the number of a check that is forgotten in flight.
const forgotten = many + 1

// forgets drops a check whose probe is in flight, and registers it anew under another number.
func forgets(ctx context.Context, c sdk.Checker, s Sample) error {
	watch, called, _ := watched()
	return s.with(ClosedPort(s.Service.Network), Localhost(), func(refusing sdk.Target) error {
		alone := s.alone(ctx, c, refusing)
		return run(ctx, c, func(t *tally) error {
			if s.Service.Network == "tcp" {
				err := s.with(watch, Localhost(), func(watched sdk.Target) error { return t.forgetInFlight(watched, s, called) })
				if err != nil {
					return err
				}
			}
			return t.renumber(refusing, s, alone)
		})
	})
}

func (t *tally) forgetInFlight(watched sdk.Target, s Sample, called <-chan struct{}) error {
	t.stream.Register(forgotten, watched, s.Options)
	t.start(time.Minute, forgotten)
	select {
	case <-called:
	case <-time.After(5 * time.Second):
		return errors.New("a registered check was started, and nobody connected to its server")
	}
	t.stream.Forget(forgotten)
	// Its verdict may come or not; the next ones are not to be taken for it.
	for {
		select {
		case batch, ok := <-t.stream.Results():
			if !ok {
				return fmt.Errorf("the stream ended (%v)", t.stream.Err())
			}
			if len(batch) > 1 || len(batch) == 1 && batch[0].ID != forgotten {
				return errors.New("forgetting one check brought verdicts of others")
			}
		case <-time.After(short):
			return nil
		}
	}
}

// renumber registers the same check under ever new numbers.
func (t *tally) renumber(refusing sdk.Target, s Sample, alone sdk.Verdict) error {
	for id := uint64(1); id <= 5; id++ {
		t.stream.Register(id, refusing, s.Options)
		t.start(2*time.Second, id)
		if err := t.collect(1, 3*time.Second); err != nil {
			return fmt.Errorf("registered for the %d. time: %w", id, err)
		}
		v := t.got[id]
		if len(v) != 1 {
			return fmt.Errorf("registered for the %d. time, its probe was not answered", id)
		}
		if err := alike(v[0], alone); err != nil {
			return fmt.Errorf("registered for the %d. time: %w", id, err)
		}
		t.stream.Forget(id)
		clear(t.got)
	}
	return nil
}

// many is how many checks the rule "batch" starts together.
const many = 1000

func takesBatches(ctx context.Context, c sdk.Checker, s Sample) error {
	const limit = 10 * time.Second
	return s.with(ClosedPort(s.Service.Network), Localhost(), func(target sdk.Target) error {
		alone := s.alone(ctx, c, target)
		return run(ctx, c, func(t *tally) error {
			ids := make([]uint64, many)
			for i := range ids {
				ids[i] = uint64(i + 1)
				t.stream.Register(ids[i], target, s.Options)
			}
			t.start(limit, ids...)
			if err := t.collect(many, limit+patience); err != nil {
				return err
			}
			for _, id := range ids {
				for _, v := range t.got[id] {
					if err := alike(v, alone); err != nil {
						return fmt.Errorf("%d checks together: %w", many, err)
					}
				}
			}
			return t.once(many)
		})
	})
}

// alone is the verdict of one probe that nothing else runs beside.
func (s Sample) alone(ctx context.Context, c sdk.Checker, target sdk.Target) sdk.Verdict {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return c.Probe(ctx, target, s.Options)
}
