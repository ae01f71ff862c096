package monitor

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

const sec = time.Second

func TestScheduleIsAbsolute(t *testing.T) {
	// 3 ms a probe must not add up: slots are a second apart, start to start.
	inBubble(t, Options{}, http(upAfter(3*time.Millisecond)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(1, sec))
		pass(100*sec + 100*time.Millisecond)
		at := r.fakes["http"].of(1)
		if len(at) != 101 {
			t.Fatalf("%d starts in 100 s, want 101", len(at))
		}
		for i := range at {
			if want := time.Duration(i) * sec; at[i] != want {
				t.Fatalf("start %d at %v, want %v", i, at[i], want)
			}
		}
		obs := r.seen()
		if len(obs) != 101 || obs[0].Verdict.Status != sdk.StatusUp {
			t.Fatalf("%d observations, the first %+v", len(obs), obs[0])
		}
		if d := obs[1].At.Sub(obs[0].At); d != sec {
			t.Errorf("observations %v apart, want 1s", d)
		}
	})
}

func TestDueCarriesTheTimeout(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(0)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(1, sec))
		pass(50 * time.Millisecond)
		if got := r.fakes["http"].starts[0].due.Remaining; got != 5*sec {
			t.Errorf("remaining %v, want 5s", got)
		}
	})
}

func TestFewChecksStartAtOnceAndSpreadLater(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(time.Millisecond)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(100, 10*sec))
		pass(Tick)
		if n := r.fakes["http"].count(); n != 100 {
			t.Fatalf("%d of 100 started in the first tick", n)
		}
		pass(10 * sec)
		perSecond := map[int]int{}
		for port := 1; port <= 100; port++ {
			at := r.fakes["http"].of(uint16(port))
			if len(at) != 2 {
				t.Fatalf("port %d: starts at %v, want a second within 10 s", port, at)
			}
			if gap := at[1] - at[0]; gap < 5*sec || gap > 10*sec+Tick {
				t.Errorf("port %d: second start after %v", port, gap)
			}
			perSecond[int(at[1]/sec)]++
		}
		for s, n := range perSecond {
			if n > 25 {
				t.Errorf("%d of 100 second starts within second %d", n, s)
			}
		}
	})
}

func TestManyChecksAreSpreadOverTheInterval(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(time.Millisecond)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(10000, sec))
		pass(3*sec + Tick)
		f := r.fakes["http"]
		perTick := map[time.Duration]int{}
		first := map[uint16]time.Duration{}
		for _, s := range f.starts {
			perTick[s.at/Tick]++
			if _, ok := first[s.port]; !ok {
				first[s.port] = s.at
			}
		}
		if len(first) != 10000 {
			t.Errorf("%d of 10000 checks started", len(first))
		}
		for port, at := range first {
			if at > sec+Tick {
				t.Errorf("port %d first started after %v", port, at)
			}
		}
		for tick, n := range perTick {
			if n > 250 { // 100 at once, and the even share
				t.Errorf("%d starts in tick %d", n, tick)
			}
		}
		if f.batches > 310 {
			t.Errorf("%d batches in 3 s, want one per tick", f.batches)
		}
		if s := r.Stats(); s.Started < 29900 || s.Late+s.Overrun+s.Held+s.Overdue != 0 || s.Checks != 10000 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestSpreadBounds(t *testing.T) {
	for _, n := range []int{1, 2, 100, 101, 500, 20000} {
		for _, interval := range []time.Duration{Tick, sec, 60 * sec, 24 * time.Hour} {
			last := time.Duration(-1)
			for j := range n {
				first, gap := spread(j, n, interval)
				if first < 0 || first > interval || gap < interval/2-1 || gap > interval || (j < 100 && first != 0) {
					t.Fatalf("spread(%d, %d, %v) = %v, %v", j, n, interval, first, gap)
				}
				if first+gap < last {
					t.Fatalf("spread(%d, %d, %v): phases run together", j, n, interval)
				}
				last = first + gap
			}
			if last > 2*interval {
				t.Errorf("last of %d at %v has its second slot after %v", n, interval, last)
			}
		}
	}
}

func TestOneBlackHoleDelaysNoOther(t *testing.T) {
	answer := func(p probed) (sdk.Verdict, time.Duration, bool) {
		if p.port == 7 {
			return sdk.DownWith(sdk.CodeL4Timeout, "timeout"), p.due.Remaining, true
		}
		return sdk.Up(), time.Millisecond, true
	}
	inBubble(t, Options{}, http(answer), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(20, sec))
		pass(60*sec + Tick)
		for port := 1; port <= 20; port++ {
			at := r.fakes["http"].of(uint16(port))
			if port == 7 {
				if len(at) < 10 || len(at) > 13 {
					t.Errorf("the black hole was probed %d times in 60 s with a timeout of 5 s", len(at))
				}
				continue
			}
			for i := 1; i < len(at); i++ {
				if d := at[i] - at[i-1]; d > sec+Tick {
					t.Errorf("port %d: %v between two starts", port, d)
				}
			}
		}
		if s := r.Stats(); s.Overrun < 45 || s.Overrun > 55 {
			t.Errorf("overrun %d slots, want about 50", s.Overrun)
		}
	})
}

func TestOverrunKeepsThePhase(t *testing.T) {
	slow := 2500 * time.Millisecond
	inBubble(t, Options{}, http(upAfter(slow)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(1, sec))
		pass(9*sec + Tick)
		want := []time.Duration{0, 3 * sec, 6 * sec, 9 * sec}
		if got := r.fakes["http"].of(1); !slices.Equal(got, want) {
			t.Errorf("starts at %v, want %v", got, want)
		}
		if s := r.Stats(); s.Overrun != 6 {
			t.Errorf("overrun %d, want 6", s.Overrun)
		}
	})
}

func TestInFlightIsBoundedAndFair(t *testing.T) {
	inBubble(t, Options{MaxInFlight: 10}, http(upAfter(sec)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(40, sec)) // four times what fits
		pass(100 * sec)
		f := r.fakes["http"]
		if f.peak != 10 {
			t.Errorf("%d in flight at most, want 10", f.peak)
		}
		for port := 1; port <= 40; port++ {
			if n := len(f.of(uint16(port))); n < 20 || n > 30 {
				t.Errorf("port %d was probed %d times, its share is 25", port, n)
			}
		}
		if s := r.Stats(); s.Late < 1000 || s.Late+s.Overrun < 2900 || s.Late+s.Overrun > 3000 {
			t.Errorf("late %d slots, overrun %d, want about 3000 together", s.Late, s.Overrun)
		}
	})
}

func TestSlowReaderHoldsProbesBack(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(time.Millisecond)), func(t *testing.T, r *rig) {
		r.Set(checks(5, sec))
		pass(10 * sec)
		if n := r.fakes["http"].count(); n != 5 {
			t.Fatalf("%d probes started while nobody reads, want one per check", n)
		}
		if s := r.Stats(); s.Held < 40 || s.Held > 55 {
			t.Errorf("held %d slots", s.Held)
		}
		got := <-r.Observations()
		if len(got) != 5 {
			t.Fatalf("%d observations kept, want 5", len(got))
		}
		r.read()
		pass(2*sec + 5*time.Millisecond) // none in flight
		if n := r.fakes["http"].count(); n < 15 {
			t.Errorf("%d probes after the reader came back", n)
		}
		if n, c := len(r.seen())+5, r.fakes["http"].count(); n != c {
			t.Errorf("%d observations of %d probes", n, c)
		}
	})
}

func TestHungRunnerIsUnknownAndLateResultsAreDropped(t *testing.T) {
	first := true
	answer := func(p probed) (sdk.Verdict, time.Duration, bool) {
		if first {
			first = false
			// Comes while the second probe is in flight, and says the opposite.
			return sdk.Down("stale"), 6*sec + 500*time.Millisecond, true
		}
		return sdk.Up(), 900 * time.Millisecond, true
	}
	inBubble(t, Options{}, http(answer), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(1, 6*sec))
		pass(6*sec - Tick)
		if n := len(r.seen()); n != 0 {
			t.Fatalf("%d observations before the deadline", n)
		}
		pass(3 * Tick)
		obs := r.seen()
		if len(obs) != 1 || obs[0].Verdict.Status != sdk.StatusUnknown || obs[0].Verdict.Code != sdk.CodeFault {
			t.Fatalf("observed %+v, want one Unknown", obs)
		}
		pass(7 * sec)
		if obs = r.seen(); len(obs) != 2 || obs[1].Verdict.Status != sdk.StatusUp {
			t.Fatalf("observed %+v, want Unknown and Up", obs)
		}
		f := r.fakes["http"]
		if !slices.Equal(f.forgotten, []uint64{1}) {
			t.Errorf("forgot %v, want the hung registration", f.forgotten)
		}
		if s := r.Stats(); s.Overdue != 1 {
			t.Errorf("overdue %d", s.Overdue)
		}
	})
}

func TestSetKeepsWhatStays(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(300*time.Millisecond)), func(t *testing.T, r *rig) {
		r.read()
		stays := check(1, sec)
		r.Set([]state.Check{stays, check(2, sec)})
		pass(2*sec + 200*time.Millisecond) // the probes of port 1 (slot 2 s) are in flight
		before := r.fakes["http"].of(1)
		last := before[len(before)-1]
		stays.Lines = []string{"moved"}
		r.Set([]state.Check{stays, check(3, sec)})
		pass(3 * sec)
		f := r.fakes["http"]
		at := f.of(1)
		for i := len(before); i < len(at); i++ {
			if want := last + time.Duration(i-len(before)+1)*sec; at[i] != want {
				t.Errorf("start %d of the kept check at %v, want %v", i, at[i], want)
			}
		}
		if n := len(f.of(2)); n > 3 {
			t.Errorf("the removed check was started %d times", n)
		}
		if at := f.of(3); len(at) == 0 || at[0] > 2*sec+200*time.Millisecond+2*Tick {
			t.Errorf("the new check started at %v", at)
		}
		if len(f.forgotten) != 1 {
			t.Errorf("forgot %v, want one", f.forgotten)
		}
		if s := r.Stats(); s.Checks != 2 {
			t.Errorf("%d checks", s.Checks)
		}
	})
}

func TestRemovedInFlightSaysNothing(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(500*time.Millisecond)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(1, sec))
		pass(100 * time.Millisecond)
		r.Set(nil)
		pass(5 * sec)
		if obs := r.seen(); len(obs) != 0 {
			t.Errorf("observed %+v of a removed check", obs)
		}
		if s := r.Stats(); s.InFlight != 0 || s.Checks != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestSetDropsWaitingObservationsOfRemovedChecks(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(time.Millisecond)), func(t *testing.T, r *rig) {
		r.Set(checks(3, sec))
		pass(100 * time.Millisecond)
		r.Set([]state.Check{check(2, sec)})
		if got := <-r.Observations(); len(got) != 1 || got[0].Check != check(2, sec).ID {
			t.Errorf("delivered %+v", got)
		}
	})
}

func TestChangedIntervalReschedules(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(time.Millisecond)), func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(1, 60*sec))
		pass(10 * sec)
		r.Set(checks(1, 20*sec)) // the next slot is 20 s after the last
		pass(30*sec + Tick)
		want := []time.Duration{0, 20 * sec, 40 * sec}
		if got := r.fakes["http"].of(1); !slices.Equal(got, want) {
			t.Errorf("starts at %v, want %v", got, want)
		}
		r.Set(checks(1, sec)) // past: anywhere within the new interval
		pass(sec + Tick)
		if n := len(r.fakes["http"].of(1)); n != 4 && n != 5 {
			t.Errorf("%d starts, want 4 or 5", n)
		}
	})
}

func TestChangedTargetStartsAnew(t *testing.T) {
	inBubble(t, Options{}, http(upAfter(time.Millisecond)), func(t *testing.T, r *rig) {
		r.read()
		c := check(1, 60*sec)
		r.Set([]state.Check{c})
		pass(sec)
		c.Target = check(9, sec).Target // the same name for something else
		r.Set([]state.Check{c})
		pass(sec)
		if n := len(r.fakes["http"].of(9)); n != 1 {
			t.Errorf("the new target was probed %d times", n)
		}
	})
}

func TestConnectsBetweenNegotiates(t *testing.T) {
	fakes := func() map[string]*fake {
		return map[string]*fake{"http": newFake(upAfter(0)), "connect": newFake(upAfter(0))}
	}
	inBubble(t, Options{}, fakes, func(t *testing.T, r *rig) {
		r.read()
		c := check(1, sec)
		c.ConnectsPer, c.ConnectTimeout, c.ConnectKind = 3, 2*sec, "connect"
		r.Set([]state.Check{c})
		pass(8*sec + Tick) // 9 probes: N C C C N C C C N
		if n := r.fakes["http"].count(); n != 3 {
			t.Errorf("%d negotiates, want 3", n)
		}
		connects := r.fakes["connect"]
		if n := connects.count(); n != 6 {
			t.Fatalf("%d connects, want 6", n)
		}
		if got := connects.starts[0].due.Remaining; got != 2*sec {
			t.Errorf("connect within %v, want 2s", got)
		}
		if len(connects.targets) != 1 {
			t.Errorf("%d registrations for connect", len(connects.targets))
		}
	})
}

func TestFailedConnectIsFollowedByNegotiate(t *testing.T) {
	fakes := func() map[string]*fake {
		return map[string]*fake{"http": newFake(upAfter(0)), "connect": newFake(
			func(probed) (sdk.Verdict, time.Duration, bool) { return sdk.Down("refused"), 0, true })}
	}
	inBubble(t, Options{}, fakes, func(t *testing.T, r *rig) {
		r.read()
		c := check(1, sec)
		c.ConnectsPer, c.ConnectTimeout, c.ConnectKind = 3, sec, "connect"
		r.Set([]state.Check{c})
		pass(3*sec + Tick) // N C N C
		if n, c := r.fakes["http"].count(), r.fakes["connect"].count(); n != 2 || c != 2 {
			t.Errorf("%d negotiates and %d connects, want 2 and 2", n, c)
		}
	})
}

func TestMissingRunnerIsUnknownAndAskedAgain(t *testing.T) {
	asked := 0
	var f *fake
	o := Options{Runner: func(kind, pool string) (Runner, error) {
		if asked++; asked < 3 {
			return nil, errors.New("binary not found")
		}
		return f, nil
	}}
	fakes := func() map[string]*fake { f = newFake(upAfter(0)); return map[string]*fake{"http": f} }
	inBubble(t, o, fakes, func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(50, sec))
		pass(5 * sec)
		if asked != 3 {
			t.Errorf("asked %d times for the runner, want 3: not once per check", asked)
		}
		obs := r.seen()
		if v := obs[0].Verdict; v.Status != sdk.StatusUnknown || v.Reason != "no checker for http: binary not found" {
			t.Errorf("observed %+v", v)
		}
		if v := obs[len(obs)-1].Verdict; v.Status != sdk.StatusUp {
			t.Errorf("at last observed %+v", v)
		}
	})
}

func TestRunnerIsAskedOncePerKindAndPool(t *testing.T) {
	asked := map[string]int{}
	shared := map[string]*fake{}
	o := Options{Runner: func(kind, pool string) (Runner, error) {
		asked[kind+"/"+pool]++
		return shared[kind+"/"+pool], nil
	}}
	fakes := func() map[string]*fake {
		for _, k := range []string{"http/", "http/a", "ftp/"} {
			shared[k] = newFake(upAfter(0))
		}
		return shared
	}
	inBubble(t, o, fakes, func(t *testing.T, r *rig) {
		r.read()
		cs := checks(3, sec)
		cs[1].Pool, cs[2].Kind = "a", "ftp"
		r.Set(cs)
		pass(3 * sec)
		r.Set(nil)
		r.Set(cs)
		pass(3 * sec)
		for _, k := range []string{"http/", "http/a", "ftp/"} {
			if asked[k] != 1 || shared[k].count() < 4 {
				t.Errorf("%s: asked %d times, probed %d times", k, asked[k], shared[k].count())
			}
		}
	})
}

func TestRunnerThatShutsDownIsReplaced(t *testing.T) {
	var made []*fake
	o := Options{Runner: func(kind, pool string) (Runner, error) {
		made = append(made, newFake(upAfter(500*time.Millisecond)))
		return made[len(made)-1], nil
	}}
	none := func() map[string]*fake { return nil }
	inBubble(t, o, none, func(t *testing.T, r *rig) {
		r.read()
		r.Set(checks(2, sec))
		pass(100 * time.Millisecond) // both in flight
		made[0].shutDown()
		synctest.Wait()
		obs := r.seen()
		if len(obs) != 2 || obs[0].Verdict.Status != sdk.StatusUnknown {
			t.Fatalf("observed %+v, want two Unknown at once", obs)
		}
		pass(2 * sec)
		if len(made) != 2 || made[1].count() < 2 {
			t.Errorf("%d runners made", len(made))
		}
		close(made[1].stop)
	})
}

func TestIdleMonitorDoesNotWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{})
		// With nobody waiting on a timer the bubble would be deadlocked, but for this one.
		pass(1000 * time.Hour)
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, open := <-m.Observations(); open {
			t.Error("observations still open after Close")
		}
		m.Set(checks(1, sec)) // does nothing, and returns
		if err := m.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}
