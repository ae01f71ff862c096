package script

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/builtin"
	"github.com/ldirectord/ldirectord/sdk"
)

// TestPerlTurns: the checks of one script take turns, and all get their verdict.
func TestPerlTurns(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	o := command(write(t, "check.pl", "select undef, undef, undef, 0.005; print ++$n; exit 2"))
	probe, err := c.Prepare("", o)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 40 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			v := probe(ctx, target())
			mu.Lock()
			defer mu.Unlock()
			seen[v.Reason] = true
		})
	}
	all.Wait()
	if len(seen) != 40 || !seen["exit code 2: 1"] || !seen["exit code 2: 40"] {
		t.Errorf("%d different answers: %v", len(seen), seen)
	}
}

// TestPerlSpreads: a server that hangs keeps its script's interpreter busy; the check that waits too long for
// it gets another one, and keeps that.
func TestPerlSpreads(t *testing.T) {
	t.Parallel()
	c, j := newPerl(t, PerlOptions{Max: 2})
	o := command(write(t, "check.pl", "if ($ARGV[2] eq '10.0.0.9') { $| = 1; print \"hangs\\n\"; sleep 60 } print $$; exit 2"))
	hanging := target()
	hanging.Addr = netip.MustParseAddrPort("10.0.0.9:1")
	slow, quick := prepare(t, c, o), prepare(t, c, o)
	call := func(probe func(context.Context, sdk.Target) sdk.Verdict, at sdk.Target, limit time.Duration) sdk.Verdict {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return probe(ctx, at)
	}
	first := call(quick, target(), 5*time.Second)
	done := make(chan sdk.Verdict)
	go func() { done <- call(slow, hanging, 4*time.Second) }()
	for end := time.Now().Add(3 * time.Second); !strings.Contains(j.String(), "hangs"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			break
		}
	}
	second := call(quick, target(), 2*time.Second)
	if v := <-done; v.Code != sdk.CodeTimeout {
		t.Errorf("the one that hangs: %+v", v)
	}
	third := call(quick, target(), 5*time.Second)
	if first.Status != sdk.StatusDown || second.Status != sdk.StatusDown || first.Reason == second.Reason || second.Reason != third.Reason {
		t.Errorf("got %q, while it hung %q, then %q", first.Reason, second.Reason, third.Reason)
	}
	if !strings.Contains(j.String(), "takes too long for one interpreter") {
		t.Errorf("log: %s", j)
	}
}

// TestPerlFair: who had to wait, and then had no time left, is not down.
func TestPerlFair(t *testing.T) {
	t.Parallel()
	c, j := newPerl(t, PerlOptions{Max: 1})
	path := write(t, "check.pl", "$| = 1; print \"hangs\\n\"; sleep 60")
	probe := prepare(t, c, command(path))
	done := make(chan sdk.Verdict)
	ask := func(limit time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		done <- probe(ctx, target())
	}
	go ask(1500 * time.Millisecond)
	for end := time.Now().Add(time.Second); !strings.Contains(j.String(), "hangs") && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	go ask(500 * time.Millisecond) // over before the first one
	if v := <-done; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "no interpreter was free") {
		t.Errorf("got %+v", v)
	}
	go ask(2500 * time.Millisecond) // begins when that is over
	for range 2 {
		v := <-done
		if v.Status != sdk.StatusUnknown && v.Reason != "not finished after 1.5s: hangs" {
			t.Errorf("got %+v", v)
		}
	}
}

// TestPerlCloses while a call runs that does not end by itself.
func TestPerlCloses(t *testing.T) {
	t.Parallel()
	c, j := newPerl(t, PerlOptions{})
	p := &Perl{builtin.Runner(c, builtin.Options{}), c}
	path := write(t, "check.pl", "$| = 1; print \"hangs\\n\"; while (1) { eval { sleep 60 } }")
	p.Register(1, target(), command(path))
	p.Start([]sdk.Due{{ID: 1, Remaining: time.Minute}})
	for end := time.Now().Add(20 * time.Second); !strings.Contains(j.String(), "hangs"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the script does not begin")
		}
	}
	i := c.slots.all[0].interpreter
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if alive(i.pid) {
		t.Error("the interpreter is left")
	}
	v := within(t, c, target(), time.Second, command(path))
	if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "shut down") {
		t.Errorf("after Close: %+v", v)
	}
}

func prepare(t *testing.T, c sdk.Preparer, o sdk.Options) func(context.Context, sdk.Target) sdk.Verdict {
	t.Helper()
	probe, err := c.Prepare("", o)
	if err != nil {
		t.Fatal(err)
	}
	return probe
}
