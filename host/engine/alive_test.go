package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/host/engine"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

// stuck is a sink that breaks the rule: it holds the engine's goroutine until it is closed.
type stuck chan struct{}

func (s stuck) Take([]state.Transition) { <-s }

// A sign of life comes from the engine's own goroutine: one that hangs gives none, nor does one that has ended.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(section(nil))
		alive := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return w.Alive(ctx)
		}
		if err := alive(); err != nil {
			t.Errorf("a sound engine: %v", err)
		}
		hold := make(stuck)
		w.options.Sinks[0] = hold // the engine has the same slice
		w.say(one, sdk.Up())
		if err := alive(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an engine that hangs: %v", err)
		}
		close(hold)
		if err := alive(); err != nil {
			t.Errorf("an engine that goes on: %v", err)
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := alive(); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("an engine that has ended: %v", err)
		}
	})
}
