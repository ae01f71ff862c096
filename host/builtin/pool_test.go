package builtin

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ldirectord/ldirectord/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a Checker whose probes do what the test wants.
type scripted struct {
	sdk.Checker
	do func(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict
}

func (s scripted) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	return s.do(ctx, t, o)
}

// withPool runs f in a synctest bubble with a Pool around do that knows ids 1 to 9.
func withPool(t *testing.T, max int, do func(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict,
	f func(t *testing.T, p *Pool)) {
	synctest.Test(t, func(t *testing.T) {
		p := Runner(scripted{do: do}, Options{Max: max})
		defer func() {
			if err := p.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		for id := range uint64(9) {
			p.Register(id+1, sdk.Target{Service: "s"}, nil)
		}
		f(t, p)
	})
}

func due(remaining time.Duration, ids ...uint64) (all []sdk.Due) {
	for _, id := range ids {
		all = append(all, sdk.Due{ID: id, Remaining: remaining})
	}
	return all
}

// next gives the next batch and how long it took to come.
func next(t *testing.T, p *Pool) ([]sdk.Result, time.Duration) {
	t.Helper()
	began := time.Now()
	select {
	case batch, ok := <-p.Results():
		if !ok {
			t.Fatal("results are closed")
		}
		return batch, time.Since(began)
	case <-time.After(time.Minute):
		t.Fatal("no result")
		return nil, 0
	}
}

func TestSuccessesAreBatchedFailuresLeaveAtOnce(t *testing.T) {
	var status atomic.Int32
	do := func(_ context.Context, _ sdk.Target, _ sdk.Options) sdk.Verdict {
		return sdk.Verdict{Status: sdk.Status(status.Load())}
	}
	withPool(t, 0, do, func(t *testing.T, p *Pool) {
		status.Store(int32(sdk.StatusUp))
		p.Start(due(time.Second, 1, 2, 3))
		if batch, took := next(t, p); len(batch) != 3 || took != flushAfter {
			t.Errorf("%d results after %v, want 3 after %v", len(batch), took, flushAfter)
		}
		status.Store(int32(sdk.StatusDown))
		p.Start(due(time.Second, 1))
		if _, took := next(t, p); took != 0 {
			t.Errorf("a failure took %v", took)
		}
	})
}

func TestProbesHaveTheirTime(t *testing.T) {
	do := func(ctx context.Context, _ sdk.Target, _ sdk.Options) sdk.Verdict {
		<-ctx.Done()
		return sdk.Down("%v", ctx.Err())
	}
	withPool(t, 0, do, func(t *testing.T, p *Pool) {
		p.Start(due(3*time.Second, 4))
		batch, took := next(t, p)
		if took != 3*time.Second || batch[0].ID != 4 || batch[0].Verdict.Reason != "context deadline exceeded" {
			t.Errorf("%+v after %v", batch, took)
		}
	})
}

func TestPanicIsUnknown(t *testing.T) {
	do := func(context.Context, sdk.Target, sdk.Options) sdk.Verdict { panic("oh") }
	withPool(t, 0, do, func(t *testing.T, p *Pool) {
		p.Start(due(time.Second, 1))
		batch, _ := next(t, p)
		v := batch[0].Verdict
		if v.Status != sdk.StatusUnknown || v.Reason != "the checker panicked: oh" || v.Transcript == "" {
			t.Errorf("%+v", v)
		}
	})
}

func TestStuckProbeIsGivenUpAndKeepsItsPlace(t *testing.T) {
	free := make(chan struct{})
	do := func(_ context.Context, _ sdk.Target, _ sdk.Options) sdk.Verdict { <-free; return sdk.Up() }
	synctest.Test(t, func(t *testing.T) {
		free = make(chan struct{})
		p := Runner(scripted{do: do}, Options{Max: 2})
		for id := range uint64(3) {
			p.Register(id+1, sdk.Target{}, nil)
		}
		p.Start(due(time.Second, 1, 2))
		batch, took := next(t, p)
		if len(batch) != 2 || batch[0].Verdict.Status != sdk.StatusUnknown || took <= time.Second || took > 2*time.Second {
			t.Fatalf("%+v after %v, want two Unknown between 1 s and 2 s", batch, took)
		}
		if s := p.Stats(); s.Stuck != 2 || s.Running != 2 {
			t.Errorf("stats %+v", s)
		}
		p.Start(due(time.Second, 1)) // the same check again: no second goroutine
		if batch, took = next(t, p); took != 0 || batch[0].Verdict.Reason != "the last probe has not come back" {
			t.Errorf("%+v after %v", batch, took)
		}
		p.Start(due(time.Second, 3)) // no place for another one
		batch, took = next(t, p)
		if want := "no place for the probe: 2 are running, 2 of them stuck"; batch[0].Verdict.Reason != want || took > 2*time.Second {
			t.Errorf("%+v after %v, want %q", batch, took, want)
		}
		close(free) // they come back: their results are late and dropped
		synctest.Wait()
		if s := p.Stats(); s.Stuck != 0 || s.Running != 0 {
			t.Errorf("stats %+v", s)
		}
		p.Start(due(time.Second, 1))
		if batch, _ = next(t, p); len(batch) != 1 || batch[0].Verdict.Status != sdk.StatusUp {
			t.Errorf("%+v, want Up and nothing of before", batch)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestMaxProbesRunAtOnce(t *testing.T) {
	var running, peak atomic.Int32
	do := func(ctx context.Context, _ sdk.Target, _ sdk.Options) sdk.Verdict {
		peak.Store(max(peak.Load(), running.Add(1)))
		defer running.Add(-1)
		time.Sleep(100 * time.Millisecond)
		return sdk.Down("done")
	}
	withPool(t, 3, do, func(t *testing.T, p *Pool) {
		p.Start(due(10*time.Second, 1, 2, 3, 4, 5, 6, 7, 8, 9))
		var got []uint64
		for len(got) < 9 {
			batch, _ := next(t, p)
			for _, r := range batch {
				if r.Verdict.Reason != "done" {
					t.Errorf("%+v", r)
				}
				got = append(got, r.ID)
			}
		}
		if peak.Load() != 3 {
			t.Errorf("%d ran at once, want 3", peak.Load())
		}
		if slices.Sort(got); !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("results of %v", got)
		}
	})
}

// A probe that waited for a place for a part of its time has less of it than the server was promised.
func TestWaitingAccusesNobody(t *testing.T) {
	do := func(ctx context.Context, t sdk.Target, _ sdk.Options) sdk.Verdict {
		takes := time.Duration(t.Addr.Port()) * time.Millisecond
		select {
		case <-time.After(takes):
			return sdk.DownWith(sdk.CodeRefused, "refused")
		case <-ctx.Done():
			return sdk.DownWith(sdk.CodeTimeout, "no answer")
		}
	}
	for name, c := range map[string]struct {
		first, second uint16 // what the probes take, in ms
		status        sdk.Status
		reason        string
	}{
		"no time left":   {700, 500, sdk.StatusUnknown, "waited 700ms of 1s for a place, and the rest was too short"},
		"an answer":      {700, 200, sdk.StatusDown, "refused"},
		"no answer ever": {10, 5000, sdk.StatusDown, "no answer"}, // a moment's wait is no excuse
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := Runner(scripted{do: do}, Options{Max: 1})
				p.Register(1, sdk.Target{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), c.first)}, nil)
				p.Register(2, sdk.Target{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), c.second)}, nil)
				p.Start(due(time.Second, 1, 2))
				next(t, p)
				batch, _ := next(t, p)
				if v := batch[0].Verdict; batch[0].ID != 2 || v.Status != c.status || v.Reason != c.reason {
					t.Errorf("%+v, want %v: %s", batch, c.status, c.reason)
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestForgetCancelsAndIsSilent(t *testing.T) {
	do := func(ctx context.Context, _ sdk.Target, _ sdk.Options) sdk.Verdict { <-ctx.Done(); return sdk.Down("x") }
	withPool(t, 1, do, func(t *testing.T, p *Pool) {
		p.Start(due(time.Hour, 1, 2, 3)) // 2 and 3 wait for a place
		p.Forget(2)
		p.Forget(1)
		synctest.Wait()
		if s := p.Stats(); s.Running != 1 || s.Waiting != 0 || s.Registered != 7 {
			t.Errorf("stats %+v, want only check 3 running", s)
		}
		p.Forget(3)
		select {
		case batch := <-p.Results():
			t.Errorf("%+v", batch)
		case <-time.After(time.Minute):
		}
		p.Start(due(time.Second, 1))
		if batch, _ := next(t, p); batch[0].Verdict.Status != sdk.StatusUnknown {
			t.Errorf("%+v of a forgotten check", batch)
		}
	})
}

func TestCloseWaitsForItsProbes(t *testing.T) {
	var ended atomic.Bool
	do := func(ctx context.Context, _ sdk.Target, _ sdk.Options) sdk.Verdict {
		<-ctx.Done()
		time.Sleep(100 * time.Millisecond)
		ended.Store(true)
		return sdk.Up()
	}
	synctest.Test(t, func(t *testing.T) {
		p := Runner(scripted{do: do}, Options{})
		p.Register(1, sdk.Target{}, nil)
		p.Start(due(time.Hour, 1))
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := p.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v while a probe runs", err)
		}
		for range p.Results() {
			t.Error("a result after Close")
		}
		<-p.stopped
		if !ended.Load() {
			t.Error("Close did not wait for the probe")
		}
		p.Start(due(time.Hour, 1)) // does nothing, and returns
		if s := p.Stats(); s != (Stats{}) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestOptionsAreDecodedOnce(t *testing.T) {
	type options struct {
		Word string `option:"word" default:"x" help:"h"`
	}
	var decoded atomic.Int32
	c := sdk.Check[options]{
		Name:     "c",
		Validate: func(string, options) error { decoded.Add(1); return nil },
		Probe:    func(_ context.Context, _ sdk.Target, o options) sdk.Verdict { return sdk.Down("%s", o.Word) },
	}
	synctest.Test(t, func(t *testing.T) {
		p := Runner(c.Checker(), Options{})
		p.Register(1, sdk.Target{Service: "c"}, sdk.Options{"word": "hello"})
		p.Register(2, sdk.Target{Service: "c"}, sdk.Options{"unheard": "of"})
		for range 3 {
			p.Start(due(time.Second, 1))
			if batch, _ := next(t, p); batch[0].Verdict.Reason != "hello" {
				t.Errorf("%+v", batch)
			}
		}
		if decoded.Load() != 1 {
			t.Errorf("decoded %d times", decoded.Load())
		}
		p.Start(due(time.Second, 2))
		v, _ := next(t, p)
		if v[0].Verdict.Status != sdk.StatusUnknown || !strings.Contains(v[0].Verdict.Reason, "unheard") {
			t.Errorf("%+v, want Unknown that names the option", v)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
