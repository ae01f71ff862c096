package lvstest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// Suite is what Run needs to know of a Controller.
type Suite struct {
	// Open returns a Controller over an empty table that nobody else edits. It is closed by
	// t.Cleanup, if it must be.
	Open func(t *testing.T) lvs.Controller
	// Witness returns the same table as read by somebody else, or nil: then nobody is asked.
	// It is called after Open, in the same test.
	Witness func(t *testing.T) lvs.Table
	// Rounds of random edits; 0 is 40.
	Rounds int
}

// Run proves that a Controller does what lvs.Controller and lvs.Table.Apply say.
func Run(t *testing.T, s Suite) {
	t.Run("one of each", s.oneOfEach)
	t.Run("idempotent", s.idempotent)
	t.Run("edits of what is not there", s.absent)
	t.Run("refusals", s.refusals)
	t.Run("in order", s.inOrder)
	t.Run("random edits", s.randomEdits)
	t.Run("random plans", s.randomPlans)
	t.Run("concurrent use", s.concurrent)
	t.Run("context", s.context)
}

// same checks that the Controller and the witness have exactly want.
func (s Suite) same(t *testing.T, c lvs.Controller, want lvs.Table) {
	t.Helper()
	got, err := c.Table(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(want) {
		t.Fatalf("the table has\n%v\nwant\n%v\ndrift %v", got, want, lvs.Drift(want, got))
	}
	if s.Witness == nil {
		return
	}
	if got := s.Witness(t); !got.Equal(want) {
		t.Fatalf("the witness says\n%v\nwant\n%v\ndrift %v", got, want, lvs.Drift(want, got))
	}
}

// service and server are short for edits.
func service(k lvs.ServiceKey, v lvs.VirtualService) lvs.Edit {
	return lvs.Edit{Op: lvs.EnsureService, Key: k, Service: v}
}

func server(op lvs.Op, k lvs.ServiceKey, at string, r lvs.RealServer) lvs.Edit {
	return lvs.Edit{Op: op, Key: k, At: lvs.ServerKey(netip.MustParseAddrPort(at)), Server: r}
}

// everything returns edits that use every field of every value, in each family.
func everything() []lvs.Edit {
	web := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("192.0.2.1:80"))
	dns := lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort("192.0.2.1:53"))
	web6 := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:443"))
	mark, mark6 := lvs.ServiceMark(7, lvs.IPv4), lvs.ServiceMark(7, lvs.IPv6)
	return []lvs.Edit{
		service(web, lvs.VirtualService{Scheduler: "sh", Flags: lvs.SchedFlag1 | lvs.SchedFlag2}),
		service(dns, lvs.VirtualService{Scheduler: "wrr", OnePacket: true}),
		service(web6, lvs.VirtualService{Scheduler: "mh", Flags: lvs.SchedFlag2, Persistence: 600, PrefixLen: 64}),
		service(mark, lvs.VirtualService{Scheduler: "wlc", Persistence: 300, PrefixLen: 24}),
		service(mark6, lvs.VirtualService{Scheduler: "rr", Flags: lvs.SchedFlag3}),
		server(lvs.EnsureServer, web, "198.51.100.7:80", lvs.RealServer{Method: lvs.Gate, Weight: 1}),
		server(lvs.EnsureServer, web, "198.51.100.8:8080", lvs.RealServer{Method: lvs.Masq, Weight: 70000, Upper: 100, Lower: 50}),
		server(lvs.EnsureServer, web, "198.51.100.9:80", lvs.RealServer{Method: lvs.IPIP, Weight: 0}),
		server(lvs.EnsureServer, web, "[2001:db8:7::7]:80", lvs.RealServer{Method: lvs.IPIP, Weight: 2}),
		server(lvs.EnsureServer, dns, "198.51.100.7:53", lvs.RealServer{Method: lvs.Masq, Weight: 3}),
		server(lvs.EnsureServer, web6, "[2001:db8:7::7]:443", lvs.RealServer{Method: lvs.Gate, Weight: 4, Upper: 9}),
		server(lvs.EnsureServer, web6, "[2001:db8:7::8]:8443", lvs.RealServer{Method: lvs.Masq, Weight: 4}),
		server(lvs.EnsureServer, web6, "198.51.100.7:443", lvs.RealServer{Method: lvs.IPIP, Weight: 5}),
		server(lvs.EnsureServer, mark, "198.51.100.7:0", lvs.RealServer{Method: lvs.Gate, Weight: 6}),
		server(lvs.EnsureServer, mark, "198.51.100.7:80", lvs.RealServer{Method: lvs.Masq, Weight: 7}),
		server(lvs.EnsureServer, mark6, "[2001:db8:7::7]:0", lvs.RealServer{Method: lvs.IPIP, Weight: 8}),
	}
}

// made returns the table that edits lead to from nothing, errors ignored.
func made(edits []lvs.Edit) lvs.Table {
	t := lvs.Table{}
	for _, e := range edits {
		_ = t.Apply(e)
	}
	return t
}

func (s Suite) oneOfEach(t *testing.T) {
	c, want := s.Open(t), lvs.Table{}
	apply := func(edits ...lvs.Edit) {
		t.Helper()
		for _, e := range edits {
			_ = want.Apply(e)
		}
		if err := c.Apply(t.Context(), edits); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	s.same(t, c, lvs.Table{})
	apply(everything()...)
	s.same(t, c, want)
	for i, e := range everything() { // one call each, everything changed
		e.Service.Scheduler, e.Service.Persistence, e.Service.PrefixLen = "wrr", 50, 25
		e.Server.Weight, e.Server.Upper, e.Server.Lower = e.Server.Weight+1, 30, 20
		if e.Op == lvs.EnsureServer && i%2 == 0 {
			e.Op = lvs.UpdateServer
		}
		apply(e)
	}
	s.same(t, c, want)
	for i, e := range everything() { // every third away
		switch {
		case i%3 != 0:
		case e.Op == lvs.EnsureService:
			apply(lvs.Edit{Op: lvs.RemoveService, Key: e.Key})
		default:
			apply(lvs.Edit{Op: lvs.RemoveServer, Key: e.Key, At: e.At})
		}
	}
	s.same(t, c, want)
}

func (s Suite) idempotent(t *testing.T) {
	c, edits := s.Open(t), everything()
	for range 3 {
		if err := c.Apply(t.Context(), edits); err != nil {
			t.Fatal(err)
		}
	}
	s.same(t, c, made(edits))
	for _, e := range everything() {
		e.Op = lvs.RemoveServer
		if e.At == (lvs.ServerKey{}) {
			e.Op = lvs.RemoveService
		}
		for range 2 {
			edits = append(edits, e)
		}
	}
	if err := c.Apply(t.Context(), edits); err != nil {
		t.Fatal(err)
	}
	s.same(t, c, lvs.Table{})
}

// absent: updates and removals of what is not there succeed and make nothing; a real server
// without its virtual service is refused.
func (s Suite) absent(t *testing.T) {
	c := s.Open(t)
	web, other := Keys()[0], Keys()[1]
	r := lvs.RealServer{Weight: 1}
	err := c.Apply(t.Context(), []lvs.Edit{
		service(web, lvs.VirtualService{Scheduler: "rr"}),
		server(lvs.UpdateServer, web, "198.51.100.7:80", r),
		server(lvs.UpdateServer, other, "198.51.100.7:443", r),
		server(lvs.RemoveServer, web, "198.51.100.7:80", lvs.RealServer{}),
		server(lvs.RemoveServer, other, "198.51.100.7:443", lvs.RealServer{}),
		{Op: lvs.RemoveService, Key: other},
	})
	if err != nil {
		t.Error(err)
	}
	err = c.Apply(t.Context(), []lvs.Edit{server(lvs.EnsureServer, other, "198.51.100.7:443", r)})
	if !errors.Is(err, lvs.ErrNoService) {
		t.Errorf("a real server without its virtual service: %v", err)
	}
	s.same(t, c, lvs.Table{web: {VirtualService: lvs.VirtualService{Scheduler: "rr"}}})
}

func (s Suite) refusals(t *testing.T) {
	c := s.Open(t)
	web, web6 := Keys()[0], Keys()[3]
	edits := []lvs.Edit{
		service(web, lvs.VirtualService{Scheduler: "rr"}),
		service(web6, lvs.VirtualService{Scheduler: "nosuch"}),
		service(web6, lvs.VirtualService{Scheduler: "rr"}),
		server(lvs.EnsureServer, web, "198.51.100.7:80", lvs.RealServer{Lower: 2, Upper: 1}),
		server(lvs.EnsureServer, web, "198.51.100.7:80", lvs.RealServer{Weight: 1 << 31}),
		server(lvs.EnsureServer, web6, "198.51.100.7:80", lvs.RealServer{Method: lvs.Gate}),
		server(lvs.EnsureServer, web, "198.51.100.8:80", lvs.RealServer{Weight: 1}),
	}
	err := c.Apply(t.Context(), edits)
	var apply *lvs.ApplyError
	if !errors.As(err, &apply) {
		t.Fatalf("got %v, want an *lvs.ApplyError", err)
	}
	want := map[int]error{1: lvs.ErrScheduler, 3: lvs.ErrRange, 4: lvs.ErrRange, 5: lvs.ErrMixedFamily}
	for i, f := range apply.Failed {
		if i > 0 && f.Index <= apply.Failed[i-1].Index {
			t.Error("the refusals are not in order")
		}
		if want[f.Index] == nil || !errors.Is(f.Err, want[f.Index]) || f.Edit != edits[f.Index] {
			t.Errorf("edit %d (%s): %v, want %v", f.Index, f.Edit, f.Err, want[f.Index])
		}
		delete(want, f.Index)
	}
	if len(want) != 0 {
		t.Errorf("not refused: %v", want)
	}
	var unknown *lvs.UnknownSchedulerError
	if !errors.As(err, &unknown) || unknown.Name != "nosuch" {
		t.Errorf("the unknown scheduler is not named: %v", err)
	}
	s.same(t, c, made([]lvs.Edit{edits[0], edits[2], edits[6]}))
}

// inOrder: edits of the same thing in one call take effect in their order.
func (s Suite) inOrder(t *testing.T) {
	c := s.Open(t)
	web := Keys()[0]
	at := "198.51.100.7:80"
	edits := []lvs.Edit{
		service(web, lvs.VirtualService{Scheduler: "rr"}),
		server(lvs.EnsureServer, web, at, lvs.RealServer{Weight: 1}),
		server(lvs.EnsureServer, web, at, lvs.RealServer{Weight: 2}),
		server(lvs.RemoveServer, web, at, lvs.RealServer{}),
		server(lvs.UpdateServer, web, at, lvs.RealServer{Weight: 3}),
		server(lvs.EnsureServer, web, at, lvs.RealServer{Weight: 4}),
		service(web, lvs.VirtualService{Scheduler: "wrr"}),
		service(web, lvs.VirtualService{Scheduler: "wlc"}),
		{Op: lvs.RemoveService, Key: web},
		service(web, lvs.VirtualService{Scheduler: "rr"}),
		service(web, lvs.VirtualService{Scheduler: "lc"}),
		server(lvs.EnsureServer, web, at, lvs.RealServer{Weight: 5}),
		server(lvs.UpdateServer, web, at, lvs.RealServer{Weight: 6}),
	}
	want := lvs.Table{}
	for n := range len(edits) + 1 {
		for range 2 { // the second time from what the first left
			for _, e := range edits[:n] {
				_ = want.Apply(e)
			}
			if err := c.Apply(t.Context(), edits[:n]); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Table(t.Context()); err != nil || !got.Equal(want) {
			t.Fatalf("after %d edits: %v %v, want %v", n, got, err, want)
		}
	}
	s.same(t, c, want)
}

// randomEdits makes the same random edits in the Controller and in a table, few and many at once.
func (s Suite) randomEdits(t *testing.T) {
	c, want := s.Open(t), lvs.Table{}
	rounds := s.Rounds
	if rounds == 0 {
		rounds = 40
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 3))
		edits := RandomEdits(r, 1+r.IntN([...]int{3, 30, 200}[seed%3]))
		refused := map[int]bool{}
		for i, e := range edits {
			refused[i] = e.Service.Scheduler == "nosuch" || want.Apply(e) != nil
		}
		var apply *lvs.ApplyError
		if err := c.Apply(t.Context(), edits); err != nil && !errors.As(err, &apply) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		got := map[int]bool{}
		if apply != nil {
			for _, f := range apply.Failed {
				got[f.Index] = true
			}
		}
		for i, e := range edits {
			if got[i] != refused[i] {
				t.Fatalf("seed %d: edit %d (%+v) refused: %t, want %t", seed, i, e, got[i], refused[i])
			}
		}
		s.same(t, c, want)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// randomPlans goes from one random table to the next.
func (s Suite) randomPlans(t *testing.T) {
	c, last := s.Open(t), lvs.Table{}
	for seed := range uint64(15) {
		want := RandomTable(rand.New(rand.NewPCG(seed, 4)))
		if err := c.Apply(t.Context(), lvs.Plan(last, want)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		s.same(t, c, want)
		last = want
	}
}

// concurrent: calls from several goroutines at once do not disturb one another.
func (s Suite) concurrent(t *testing.T) {
	c := s.Open(t)
	keys := Keys()
	var group sync.WaitGroup
	for i, k := range keys {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 5))
			for n := range 5 {
				edits := []lvs.Edit{service(k, RandomService(r, k.Family))}
				for range n * 8 {
					at, server := RandomServer(r, k)
					edits = append(edits, lvs.Edit{Op: lvs.EnsureServer, Key: k, At: at, Server: server})
				}
				if err := c.Apply(t.Context(), edits); err != nil {
					t.Error(err)
				}
				got, err := c.Table(t.Context())
				if err != nil {
					t.Error(err)
				}
				if got[k].VirtualService != edits[0].Service {
					t.Errorf("%s is %+v, want %+v", k, got[k].VirtualService, edits[0].Service)
				}
			}
		})
	}
	group.Wait()
}

// context: a call with an ended context makes nothing, and the next one works.
func (s Suite) context(t *testing.T) {
	c := s.Open(t)
	ended, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	edits := everything()
	var apply *lvs.ApplyError
	if err := c.Apply(ended, edits); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &apply) {
		t.Errorf("Apply after the deadline: %v", err)
	}
	if _, err := c.Table(ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Table after the deadline: %v", err)
	}
	s.same(t, c, lvs.Table{})
	if err := c.Apply(t.Context(), edits); err != nil {
		t.Fatal(err)
	}
	s.same(t, c, made(edits))
}
