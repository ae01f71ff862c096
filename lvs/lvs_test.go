package lvs_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/lvs/lvstest"
)

var (
	web  = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
	web6 = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:80"))
	mark = lvs.ServiceMark(5, lvs.IPv4)
)

func server(s string) lvs.ServerKey { return lvs.ServerKey(netip.MustParseAddrPort(s)) }

// table returns one virtual service, web, with the given servers.
func table(servers map[lvs.ServerKey]lvs.RealServer) lvs.Table {
	return lvs.Table{web: {VirtualService: lvs.VirtualService{Scheduler: "rr", PrefixLen: 32}, Servers: servers}}
}

// rounds runs f with many random pairs of tables, the second often a slight change of the first.
func rounds(t *testing.T, f func(t *testing.T, last, want lvs.Table)) {
	t.Helper()
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1))
		last := lvstest.RandomTable(r)
		want := lvstest.RandomTable(r)
		if seed%2 == 0 {
			want = last.Clone()
			for _, e := range lvstest.RandomEdits(r, 4) {
				_ = want.Apply(e)
			}
		}
		f(t, last, want)
		if t.Failed() {
			t.Fatalf("seed %d\nlast %v\nwant %v\nplan %v", seed, last, want, lvs.Plan(last, want))
		}
	}
}

func TestPlanReachesWant(t *testing.T) {
	rounds(t, func(t *testing.T, last, want lvs.Table) {
		got, edits := last.Clone(), lvs.Plan(last, want)
		for range 2 { // and the second time nothing is different
			for _, e := range edits {
				if err := got.Apply(e); err != nil {
					t.Errorf("%s: %v", e, err)
				}
			}
			if !got.Equal(want) {
				t.Errorf("reached %v", got)
			}
		}
	})
}

func TestPlanOfNoChangeIsEmpty(t *testing.T) {
	rounds(t, func(t *testing.T, last, _ lvs.Table) {
		if edits := lvs.Plan(last, last.Clone()); len(edits) != 0 {
			t.Errorf("plan of no change: %v", edits)
		}
	})
}

func TestPlanKeepsHealthyServersIn(t *testing.T) {
	rounds(t, func(t *testing.T, last, want lvs.Table) {
		now := last.Clone()
		for _, e := range lvs.Plan(last, want) {
			_ = now.Apply(e)
			for k, s := range want {
				for at, w := range s.Servers {
					if last[k].Servers[at].Weight > 0 && w.Weight > 0 && now[k].Servers[at].Weight == 0 {
						t.Errorf("%s (%s) was out after %s", at, k, e)
					}
				}
			}
		}
	})
}

func TestPlanNamesNothingElse(t *testing.T) {
	rounds(t, func(t *testing.T, last, want lvs.Table) {
		for _, e := range lvs.Plan(last, want) {
			_, asked := last[e.Key]
			_, wanted := want[e.Key]
			if !asked && !wanted {
				t.Errorf("%s is about a virtual service in neither table", e)
			}
			if e.At != (lvs.ServerKey{}) && last[e.Key].Servers[e.At] == want[e.Key].Servers[e.At] && asked == wanted {
				_, was := last[e.Key].Servers[e.At]
				_, is := want[e.Key].Servers[e.At]
				if was == is {
					t.Errorf("%s touches a real server that did not change", e)
				}
			}
		}
	})
}

func TestPlanOrder(t *testing.T) {
	rounds(t, func(t *testing.T, last, want lvs.Table) {
		edits := lvs.Plan(last, want)
		if !reflect.DeepEqual(edits, lvs.Plan(last.Clone(), want.Clone())) {
			t.Error("two plans of the same tables differ")
		}
		if !slices.IsSortedFunc(edits, func(a, b lvs.Edit) int { return int(a.Op) - int(b.Op) }) {
			t.Error("not in the order of the operations")
		}
	})
}

// A change of a server that an operator may have removed must not put it back; its coming
// up must.
func TestPlanChoosesTheServerEdit(t *testing.T) {
	at := server("10.0.0.7:80")
	one := func(r lvs.RealServer) lvs.Table { return table(map[lvs.ServerKey]lvs.RealServer{at: r}) }
	for _, c := range []struct {
		name       string
		last, want lvs.Table
		op         lvs.Op
	}{
		{"new", table(nil), one(lvs.RealServer{Weight: 1}), lvs.EnsureServer},
		{"new and quiescent", table(nil), one(lvs.RealServer{}), lvs.EnsureServer},
		{"comes up", one(lvs.RealServer{}), one(lvs.RealServer{Weight: 3}), lvs.EnsureServer},
		{"goes down", one(lvs.RealServer{Weight: 3}), one(lvs.RealServer{}), lvs.UpdateServer},
		{"other weight", one(lvs.RealServer{Weight: 3}), one(lvs.RealServer{Weight: 4}), lvs.UpdateServer},
		{"other thresholds while down", one(lvs.RealServer{}), one(lvs.RealServer{Upper: 9}), lvs.UpdateServer},
		{"gone", one(lvs.RealServer{Weight: 3}), table(nil), lvs.RemoveServer},
	} {
		t.Run(c.name, func(t *testing.T) {
			edits := lvs.Plan(c.last, c.want)
			if len(edits) != 1 || edits[0].Op != c.op {
				t.Errorf("got %v, want one edit of kind %d", edits, c.op)
			}
		})
	}
}

func TestPlanIgnoresThePrefixWithoutPersistence(t *testing.T) {
	last, want := table(nil), table(nil)
	s := want[web]
	s.PrefixLen = 0
	want[web] = s
	if edits := lvs.Plan(last, want); len(edits) != 0 {
		t.Errorf("got %v", edits)
	}
}

func TestAdopt(t *testing.T) {
	rounds(t, func(t *testing.T, have, want lvs.Table) {
		adopted, now := lvs.Adopt(have, want), have.Clone()
		for _, e := range lvs.Plan(adopted, want) {
			if e.Op == lvs.RemoveService {
				t.Errorf("%s at start", e)
			}
			if err := now.Apply(e); err != nil {
				t.Errorf("%s: %v", e, err)
			}
		}
		for k := range have {
			if _, ours := want[k]; !ours && !(lvs.Table{k: now[k]}).Equal(lvs.Table{k: have[k]}) {
				t.Errorf("somebody else's %s was changed", k)
			}
			if _, ours := want[k]; ours && !(lvs.Table{k: now[k]}).Equal(lvs.Table{k: want[k]}) {
				t.Errorf("%s is %v", k, now[k])
			}
		}
	})
}

func TestAdoptSharesNothing(t *testing.T) {
	have := table(map[lvs.ServerKey]lvs.RealServer{server("10.0.0.7:80"): {Weight: 1}})
	clear(lvs.Adopt(have, table(nil))[web].Servers)
	if len(have[web].Servers) != 1 {
		t.Error("Adopt gave away a map of have")
	}
}

func TestCanon(t *testing.T) {
	for _, c := range []struct {
		key    lvs.ServiceKey
		at     string
		method lvs.ForwardingMethod
		want   string
	}{
		{web, "10.0.0.7:8080", lvs.Gate, "10.0.0.7:80"},
		{web, "10.0.0.7:8080", lvs.IPIP, "10.0.0.7:80"},
		{web, "10.0.0.7:8080", lvs.Masq, "10.0.0.7:8080"},
		{web, "10.0.0.7:0", lvs.Masq, "10.0.0.7:80"},
		{web6, "[2001:db8::7]:8080", lvs.Gate, "[2001:db8::7]:80"},
		{mark, "10.0.0.7:0", lvs.Gate, "10.0.0.7:0"},
		{mark, "10.0.0.7:80", lvs.IPIP, "10.0.0.7:80"},
		{mark, "10.0.0.7:0", lvs.Masq, "10.0.0.7:0"},
	} {
		if got := lvs.Canon(c.key, netip.MustParseAddrPort(c.at), c.method); got != server(c.want) {
			t.Errorf("Canon(%s, %s, %s) = %s, want %s", c.key, c.at, c.method, got, c.want)
		}
	}
}

func TestNormal(t *testing.T) {
	for _, c := range []struct {
		f        lvs.Family
		in, want lvs.VirtualService
	}{
		{lvs.IPv4, lvs.VirtualService{PrefixLen: 24}, lvs.VirtualService{PrefixLen: 32}},
		{lvs.IPv6, lvs.VirtualService{}, lvs.VirtualService{PrefixLen: 128}},
		{lvs.IPv4, lvs.VirtualService{Persistence: 1, PrefixLen: 24}, lvs.VirtualService{Persistence: 1, PrefixLen: 24}},
		{lvs.IPv4, lvs.VirtualService{Persistence: 1}, lvs.VirtualService{Persistence: 1}},
		{lvs.IPv6, lvs.VirtualService{Persistence: 1}, lvs.VirtualService{Persistence: 1, PrefixLen: 128}},
	} {
		if got := c.in.Normal(c.f); got != c.want {
			t.Errorf("%+v normal is %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestDrift(t *testing.T) {
	a, b, c := server("10.0.0.7:80"), server("10.0.0.8:80"), server("10.0.0.9:80")
	asked := table(map[lvs.ServerKey]lvs.RealServer{a: {Weight: 5}, b: {Weight: 1}})
	asked[mark] = lvs.Service{}
	have := table(map[lvs.ServerKey]lvs.RealServer{a: {Weight: 0, Method: lvs.Masq, Upper: 2}, c: {Weight: 2}})
	s := have[web]
	s.Scheduler, s.Persistence, s.Flags, s.OnePacket, s.PEName = "wrr", 60, lvs.SchedFlag1|lvs.SchedFlag3, true, "sip"
	have[web] = s
	have[web6] = lvs.Service{} // somebody else's
	want := []string{
		"virtual service tcp:10.0.0.1:80 was changed: scheduler is wrr, asked rr, scheduler flags is flag-1,flag-3, asked none, " +
			"persistence is 60s, asked 0s, one-packet scheduling is on, asked off, persistence engine is sip, asked none",
		"real server 10.0.0.7:80 (tcp:10.0.0.1:80) was changed: weight is 0, asked 5, forwarding is masq, asked gate, upper threshold is 2, asked 0",
		"real server 10.0.0.8:80 (tcp:10.0.0.1:80) is missing from the table: asked with weight 1",
		"real server 10.0.0.9:80 (tcp:10.0.0.1:80) is in the table with weight 2, but was never asked",
		"virtual service fwm:5 is missing from the table",
	}
	var got []string
	for _, d := range lvs.Drift(asked, have) {
		got = append(got, d.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestNoDriftAfterThePlan(t *testing.T) {
	rounds(t, func(t *testing.T, last, want lvs.Table) {
		now := last.Clone()
		for _, e := range lvs.Plan(last, want) {
			_ = now.Apply(e)
		}
		if d := lvs.Drift(want, now); len(d) != 0 {
			t.Errorf("drift: %v", d)
		}
		if d := lvs.Drift(last, now); (len(d) == 0) != subset(last, now) {
			t.Errorf("drift: %v, tables %v and %v", d, last, now)
		}
	})
}

// subset tells whether every virtual service of a is alike in b.
func subset(a, b lvs.Table) bool {
	for k, s := range a {
		o, ok := b[k]
		if !ok || !(lvs.Table{k: s}).Equal(lvs.Table{k: o}) {
			return false
		}
	}
	return true
}

func TestValidate(t *testing.T) {
	at := server("10.0.0.7:80")
	ensure := func(k lvs.ServiceKey, at lvs.ServerKey, r lvs.RealServer) lvs.Edit {
		return lvs.Edit{Op: lvs.EnsureServer, Key: k, At: at, Server: r}
	}
	service := func(k lvs.ServiceKey, v lvs.VirtualService) lvs.Edit {
		return lvs.Edit{Op: lvs.EnsureService, Key: k, Service: v}
	}
	for _, c := range []struct {
		name string
		edit lvs.Edit
		want error
	}{
		{"plain", ensure(web, at, lvs.RealServer{Weight: 1}), nil},
		{"weight", ensure(web, at, lvs.RealServer{Weight: 1 << 31}), lvs.ErrRange},
		{"thresholds", ensure(web, at, lvs.RealServer{Lower: 3, Upper: 2}), lvs.ErrRange},
		{"lower alone", ensure(web, at, lvs.RealServer{Lower: 3}), lvs.ErrRange},
		{"method", ensure(web, at, lvs.RealServer{Method: 3}), lvs.ErrRange},
		{"mixed gate", ensure(web6, at, lvs.RealServer{}), lvs.ErrMixedFamily},
		{"mixed masq", ensure(web6, at, lvs.RealServer{Method: lvs.Masq}), lvs.ErrMixedFamily},
		{"mixed ipip", ensure(web6, at, lvs.RealServer{Method: lvs.IPIP}), nil},
		{"no server", ensure(web, lvs.ServerKey{}, lvs.RealServer{}), lvs.ErrKey},
		{"zone", ensure(web6, server("[fe80::1%eth0]:80"), lvs.RealServer{}), lvs.ErrKey},
		{"mapped", ensure(web6, server("[::ffff:10.0.0.7]:80"), lvs.RealServer{}), lvs.ErrKey},
		{"mark 0", service(lvs.ServiceMark(0, lvs.IPv4), lvs.VirtualService{Scheduler: "rr"}), lvs.ErrKey},
		{"no key", service(lvs.ServiceKey{}, lvs.VirtualService{Scheduler: "rr"}), lvs.ErrKey},
		{"wrong family", service(lvs.ServiceKey{Protocol: lvs.TCP, Addr: web.Addr, Family: lvs.IPv6}, lvs.VirtualService{Scheduler: "rr"}), lvs.ErrKey},
		{"no scheduler", service(web, lvs.VirtualService{}), lvs.ErrScheduler},
		{"long scheduler", service(web, lvs.VirtualService{Scheduler: "0123456789abcdef"}), lvs.ErrScheduler},
		{"prefix", service(web, lvs.VirtualService{Scheduler: "rr", Persistence: 1, PrefixLen: 33}), lvs.ErrRange},
		{"prefix without persistence", service(web, lvs.VirtualService{Scheduler: "rr", PrefixLen: 33}), nil},
		{"flags", service(web, lvs.VirtualService{Scheduler: "rr", Flags: 8}), lvs.ErrRange},
		{"remove without a server", lvs.Edit{Op: lvs.RemoveServer, Key: web}, lvs.ErrKey},
		{"remove service", lvs.Edit{Op: lvs.RemoveService, Key: web}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.edit.Validate(); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := (lvs.Edit{Key: web}).Validate(); err == nil {
		t.Error("an edit without an operation is valid")
	}
}

// What was refused is planned again; what was made is not.
func TestAfter(t *testing.T) {
	a, b := server("10.0.0.7:80"), server("10.0.0.8:80")
	last := table(map[lvs.ServerKey]lvs.RealServer{a: {Weight: 1}})
	want := table(map[lvs.ServerKey]lvs.RealServer{a: {Weight: 2}, b: {Weight: 1}})
	edits := lvs.Plan(last, want)
	if got := lvs.After(last, edits, nil); !got.Equal(want) {
		t.Errorf("after success: %v", got)
	}
	refused := &lvs.ApplyError{Failed: []lvs.EditError{{Index: 0, Edit: edits[0], Err: errors.New("no")}}}
	if again := lvs.Plan(lvs.After(last, edits, refused), want); !slices.Equal(again, edits[:1]) {
		t.Errorf("after a refusal the plan is %v, want %v", again, edits[:1])
	}
	if again := lvs.Plan(lvs.After(last, edits, errors.New("socket")), want); !slices.Equal(again, edits) {
		t.Errorf("after a failure the plan is %v, want %v", again, edits)
	}
}

// However much of a plan was made, reading the table again leads to what is wanted next, and
// keeps what an operator did elsewhere.
func TestReread(t *testing.T) {
	rounds(t, func(t *testing.T, last, want lvs.Table) {
		r := rand.New(rand.NewPCG(uint64(len(last)), 2))
		edits, have := lvs.Plan(last, want), last.Clone()
		for _, e := range edits[:r.IntN(len(edits)+1)] {
			_ = have.Apply(e)
		}
		next, now := lvstest.RandomTable(r), have.Clone()
		for _, e := range lvs.Plan(lvs.Reread(last, edits, have), next) {
			if err := now.Apply(e); err != nil {
				t.Errorf("%s: %v", e, err)
			}
		}
		if !now.Equal(next) {
			t.Errorf("reached %v\nwant %v", now, next)
		}
	})
}

func TestRereadKeepsAHandSetWeight(t *testing.T) {
	a, b := server("10.0.0.7:80"), server("10.0.0.8:80")
	last := table(map[lvs.ServerKey]lvs.RealServer{a: {Weight: 1}, b: {Weight: 1}})
	want := table(map[lvs.ServerKey]lvs.RealServer{a: {Weight: 1}, b: {Weight: 2}})
	have := table(map[lvs.ServerKey]lvs.RealServer{a: {Weight: 0}, b: {Weight: 1}}) // a drained by hand
	edits := lvs.Plan(last, want)
	if again := lvs.Plan(lvs.Reread(last, edits, have), want); !slices.Equal(again, edits) {
		t.Errorf("got %v, want %v", again, edits)
	}
}

func TestOrderOfKeys(t *testing.T) {
	keys := lvstest.Keys()
	for i, a := range keys {
		for j, b := range keys {
			if (a.Compare(b) == 0) != (i == j) || a.Compare(b) != -b.Compare(a) {
				t.Errorf("%s against %s: %d", a, b, a.Compare(b))
			}
		}
	}
}
