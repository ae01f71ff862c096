package memory_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/lvs/lvstest"
	"github.com/ldirectord/ldirectord/lvs/memory"
)

func TestController(t *testing.T) {
	lvstest.Run(t, lvstest.Suite{Open: func(*testing.T) lvs.Controller { return memory.New() }})
}

var (
	web   = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
	at    = lvs.ServerKey(netip.MustParseAddrPort("10.0.0.7:80"))
	edits = []lvs.Edit{
		{Op: lvs.EnsureService, Key: web, Service: lvs.VirtualService{Scheduler: "rr"}},
		{Op: lvs.EnsureServer, Key: web, At: at, Server: lvs.RealServer{Weight: 1}},
		{Op: lvs.UpdateServer, Key: web, At: at, Server: lvs.RealServer{Weight: 2}},
	}
	errTest = errors.New("refused for the test")
)

// weight returns the weight of the only server, -1 when it is not there.
func weight(t *testing.T, c *memory.Controller) int {
	t.Helper()
	table, err := c.Table(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, ok := table[web].Servers[at]
	if !ok {
		return -1
	}
	return int(r.Weight)
}

func TestFail(t *testing.T) {
	c := memory.New()
	stop := c.Fail(func(e lvs.Edit) bool { return e.Op == lvs.EnsureServer }, errTest)
	err := c.Apply(t.Context(), edits)
	var apply *lvs.ApplyError
	if !errors.As(err, &apply) || len(apply.Failed) != 1 || apply.Failed[0].Index != 1 || !errors.Is(err, errTest) {
		t.Errorf("got %v", err)
	}
	if w := weight(t, c); w != -1 {
		t.Errorf("weight %d", w)
	}
	stop()
	if err := c.Apply(t.Context(), edits); err != nil || weight(t, c) != 2 {
		t.Errorf("after stop: %v, weight %d", err, weight(t, c))
	}
	if n := len(c.Edits()); n != 2*len(edits) {
		t.Errorf("%d edits recorded", n)
	}
}

func TestFailNth(t *testing.T) {
	c := memory.New()
	c.FailNth(3, errTest)
	if err := c.Apply(t.Context(), edits); !errors.Is(err, errTest) || weight(t, c) != 1 {
		t.Errorf("got %v, weight %d", err, weight(t, c))
	}
	if err := c.Apply(t.Context(), edits); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestBreak(t *testing.T) {
	for n, want := range map[int]int{0: -1, 2: 1, 3: 2, 9: 2} {
		c := memory.New()
		c.Break(n, errTest)
		if err := c.Apply(t.Context(), edits); err != errTest || weight(t, c) != want {
			t.Errorf("broken after %d: %v, weight %d, want %d", n, err, weight(t, c), want)
		}
		if err := c.Apply(t.Context(), edits); err != nil {
			t.Errorf("once more: %v", err)
		}
	}
}

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		release := c.Hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Apply(ctx, edits); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("held: %v", err)
		}
		done := make(chan error)
		go func() { done <- c.Apply(t.Context(), edits) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("not held: %v", err)
		default:
		}
		release()
		release() // harmless
		if err := <-done; err != nil || weight(t, c) != 2 {
			t.Errorf("after release: %v, weight %d", err, weight(t, c))
		}
	})
}

func TestChangeAndAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		done := make(chan error)
		gone := func(table lvs.Table) bool { return len(table[web].Servers) == 1 }
		go func() { done <- c.Await(t.Context(), gone) }()
		synctest.Wait()
		made := make(chan error)
		go func() { made <- c.Await(t.Context(), func(table lvs.Table) bool { return len(table) == 1 }) }()
		synctest.Wait()
		if err := c.Apply(t.Context(), edits[:1]); err != nil {
			t.Fatal(err)
		}
		if err := <-made; err != nil {
			t.Error(err)
		}
		c.Change(func(table lvs.Table) { table[web].Servers[at] = lvs.RealServer{Weight: 9} })
		if err := <-done; err != nil || weight(t, c) != 9 {
			t.Errorf("got %v, weight %d", err, weight(t, c))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Await(ctx, func(lvs.Table) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("never true: %v", err)
		}
	})
}
