package probe_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Many probes that together need far more than there is all come through, and never hold more than
// the budget and one probe's need.
func TestBudgetIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, need, step, probes = 1000, 300, 30, 200
		b := probe.NewBudget(size)
		var held, most atomic.Int64
		var each sync.WaitGroup
		for range probes {
			each.Go(func() {
				s := b.Share()
				for range need / step {
					if err := s.Grow(t.Context(), step); err != nil {
						t.Error(err)
					}
					now := held.Add(step)
					for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
					}
					time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
				}
				held.Add(-need)
				s.Release()
			})
		}
		each.Wait()
		if most.Load() > size+need {
			t.Errorf("%d bytes held at once, of %d and one probe's %d", most.Load(), size, need)
		}
		if most.Load() < size*9/10 {
			t.Errorf("no more than %d bytes held at once, of %d: probes waited for nothing", most.Load(), size)
		}
	})
}

func TestBudgetUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := probe.NewBudget(100)
		large, over, late := b.Share(), b.Share(), b.Share()
		for _, s := range []*probe.Share{large, over} { // the second overdraws
			if err := s.Grow(t.Context(), 80); err != nil {
				t.Fatal(err)
			}
		}
		if late.Try(1) {
			t.Error("there is no room, and still it was given")
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := late.Grow(ctx, 1)
		if !errors.Is(err, probe.ErrNoRoom) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if v := probe.Judge(err); v.Status != sdk.StatusUnknown || v.Code != sdk.CodeFault {
			t.Errorf("to have no room is nobody's fault but ours: %+v", v)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := late.Grow(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		time.AfterFunc(time.Second, large.Release)
		began = time.Now()
		if err := late.Grow(t.Context(), 10); err != nil || time.Since(began) != time.Second {
			t.Errorf("got %v after %v: room is there when another is done", err, time.Since(began))
		}
		over.Release()
		late.Release()
		if err := b.Share().Grow(t.Context(), 100); err != nil {
			t.Error(err)
		}
	})
}

func TestNoBudget(t *testing.T) {
	var s *probe.Share
	if err := s.Grow(t.Context(), 1<<40); err != nil {
		t.Error(err)
	}
	s.Release()
}
