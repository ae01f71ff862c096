package state_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// world is a state with its kernel, driven at random.
type world struct {
	*testing.T
	r      *rand.Rand
	cfg    *config.Config
	state  *state.State
	kernel lvs.Table
	last   lvs.Table
	now    time.Time

	weights map[state.ServerRef]uint32 // as the transitions tell them
	started map[lvs.ServiceKey]bool    // fallbackcommands
	steps   []string
}

// some makes a random configuration out of few virtual services and servers, so that two of them
// have much in common.
func some(r *rand.Rand) *config.Config {
	cfg := &config.Config{File: "random.cf"}
	for port := range uint16(3) {
		if r.IntN(4) == 0 {
			continue
		}
		s := config.Service{
			Key:          lvs.ServiceAt(lvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 80+port)),
			Virtual:      lvs.VirtualService{Scheduler: []string{"rr", "wrr"}[r.IntN(2)]},
			CheckType:    []config.CheckType{config.Connect, config.Connect, config.Connect, config.On, config.Off}[r.IntN(5)],
			CheckTimeout: 3 * time.Second, CheckInterval: time.Second,
			FailureCount: 1 + r.IntN(3), Quiescent: r.IntN(2) == 0, ReaddQuiescent: r.IntN(2) == 0, CleanStop: r.IntN(2) == 0,
		}
		if r.IntN(2) == 0 {
			key := lvs.ServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + r.IntN(2))}), 80+port))
			s.Fallback = &config.Fallback{Key: key, Server: lvs.RealServer{Weight: 1}}
		}
		if r.IntN(2) == 0 {
			s.FallbackCommand = "/bin/fb"
		}
		for i := range byte(4) {
			if r.IntN(3) == 0 {
				continue
			}
			at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, i}), 80)
			s.Servers = append(s.Servers, config.Server{
				Key: lvs.ServerKey(at), Addr: at, CheckAddr: at, CheckNetwork: "tcp",
				Server: lvs.RealServer{Method: lvs.Masq, Weight: uint32(1 + r.IntN(3))},
			})
		}
		if at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(r.IntN(4))}), 80); s.Fallback != nil && r.IntN(3) == 0 {
			// It may be a real server before and after a reload.
			s.Servers = slices.DeleteFunc(s.Servers, func(c config.Server) bool { return c.Addr == at })
			s.Fallback.Key = lvs.ServerKey(at)
		}
		if r.IntN(5) == 0 {
			s.Servers = append(s.Servers, config.Server{Name: fmt.Sprintf("web%d", r.IntN(2)), Unresolved: true})
		}
		if s.Fallback != nil && r.IntN(5) == 0 {
			s.Fallback = &config.Fallback{Name: "sorry", Unresolved: true}
		}
		cfg.Services = append(cfg.Services, s)
	}
	return cfg
}

// leftover is a table that some earlier configuration may have left.
func leftover(r *rand.Rand) lvs.Table {
	t := lvs.Table{}
	for _, s := range some(r).Services {
		v := lvs.Service{VirtualService: s.Virtual.Normal(lvs.IPv4), Servers: map[lvs.ServerKey]lvs.RealServer{}}
		for _, server := range s.Servers {
			if server.Unresolved {
				continue
			}
			server.Server.Weight = uint32(r.IntN(3))
			v.Servers[server.Key] = server.Server
		}
		t[s.Key] = v
	}
	return t
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		T: t, r: rand.New(rand.NewPCG(seed, 7)), now: epoch,
		weights: map[state.ServerRef]uint32{}, started: map[lvs.ServiceKey]bool{},
	}
	w.kernel = leftover(w.r)
	for k, s := range w.kernel {
		for at, server := range s.Servers {
			w.weights[state.ServerRef{Service: k, Server: at}] = server.Weight
		}
	}
	w.load(some(w.r))
	return w
}

func (w *world) load(cfg *config.Config) {
	w.log("load %+v", cfg.Services)
	prev := w.state
	var ts []state.Transition
	if prev != nil {
		w.last, ts = prev.Drifted(w.last, w.kernel, w.now)
	}
	next, more := state.New(cfg, prev, w.kernel, state.Options{Now: w.now})
	want := next.Desired()
	base := lvs.Adopt(w.kernel, want)
	for k, s := range w.last {
		if _, stays := want[k]; !stays {
			base[k] = s
		}
	}
	w.cfg, w.state, w.last = cfg, next, base
	w.follow(append(ts, more...))
}

func (w *world) log(format string, a ...any) {
	w.steps = append(w.steps, fmt.Sprintf(format, a...))
}

func (w *world) fail(format string, a ...any) {
	w.Helper()
	for _, s := range w.steps {
		w.Log(s)
	}
	w.Fatalf(format, a...)
}

// follow applies what is asked, keeping watch that no server in both tables leaves on the way,
// and reads the transitions like somebody who knows the log alone.
func (w *world) follow(ts []state.Transition) {
	w.Helper()
	want := w.state.Desired()
	before := w.kernel.Clone()
	for _, e := range w.state.Edits(w.last) {
		if err := w.kernel.Apply(e); err != nil {
			w.fail("%s: %v", e, err)
		}
		for k, s := range before {
			for at, r := range s.Servers {
				kept, stays := want[k].Servers[at]
				if now, in := w.kernel[k].Servers[at]; stays && kept.Weight > 0 && r.Weight > 0 && (!in || now.Weight == 0) {
					w.fail("%s left %s on the way", at, k)
				}
			}
		}
	}
	w.last = want
	for _, t := range ts {
		w.log("%s", t.Text())
		w.read(t)
	}
}

func (w *world) read(t state.Transition) {
	ref := state.ServerRef{Service: t.Service, Server: t.Server}
	switch t.Change {
	case state.Added, state.Restored, state.Quiesced, state.ReaddedQuiescent, state.Reweighted:
		w.weights[ref] = t.Weight
	case state.Deleted, state.PurgedServer:
		delete(w.weights, ref)
	case state.PurgedService:
		for other := range w.weights {
			if other.Service == t.Service {
				delete(w.weights, other)
			}
		}
	case state.FallbackStarted, state.FallbackStopped:
		start := t.Change == state.FallbackStarted
		if w.started[t.Service] == start || t.Command == "" {
			w.fail("%s again, or without a command", t.Text())
		}
		w.started[t.Service] = start
	}
}

// agree compares the kernel with what is asked, and with what the log told.
func (w *world) agree() {
	w.Helper()
	want := w.state.Desired()
	if ours := lvs.Adopt(w.kernel, want); !ours.Equal(want) {
		w.fail("kernel %v, want %v", ours, want)
	}
	for k, s := range want {
		for at, r := range s.Servers {
			told, known := w.weights[state.ServerRef{Service: k, Server: at}]
			if !known || told != r.Weight {
				w.fail("%s %s has weight %d, the log says %d (%v)", k, at, r.Weight, told, known)
			}
		}
	}
	for ref, weight := range w.weights {
		s, ours := want[ref.Service]
		if _, in := s.Servers[ref.Server]; ours && !in {
			w.fail("%v is not in, the log says %d", ref, weight)
		}
	}
}

// fallbackRule: in if and only if no real server is up, once the section has settled.
func (w *world) fallbackRule() {
	w.Helper()
	for _, v := range w.state.Snapshot().Services {
		up := slices.ContainsFunc(v.Servers, func(r state.ServerStatus) bool { return r.Status == state.Up })
		if v.AllDown && up {
			w.fail("%s: the fallback is in use while a real server is up", v.Virtual)
		}
		if !v.Settling && !up && !v.AllDown && v.Config.CheckType != config.Off {
			w.fail("%s: nobody is up, and the fallback is not in use", v.Virtual)
		}
		if v.Config.CheckType == config.Off && len(w.state.Desired()[v.Key].Servers) > 0 {
			w.fail("%s: checktype off, and servers in the table", v.Virtual)
		}
		if w.started[v.Key] != v.FallbackCommand {
			w.fail("%s: fallbackcommand %v, told %v", v.Virtual, v.FallbackCommand, w.started[v.Key])
		}
	}
}

func (w *world) observe(v sdk.Verdict) {
	checks := w.state.Checks()
	if len(checks) == 0 {
		return
	}
	c := checks[w.r.IntN(len(checks))]
	before := w.state.Desired()
	w.log("%s %s", c.ID, v.Status)
	w.follow(w.state.Observe(state.Observation{Check: c.ID, Verdict: v, At: w.now}))
	if v.Status == sdk.StatusUnknown && !w.state.Desired().Equal(before) {
		w.fail("Unknown moved a server")
	}
}

func (w *world) step() {
	w.now = w.now.Add(time.Duration(w.r.IntN(2000)) * time.Millisecond)
	if next := w.state.NextSettle(); !next.IsZero() && !next.After(w.now) {
		w.log("settle")
		w.follow(w.state.Settle(w.now))
	}
	switch w.r.IntN(12) {
	case 0:
		w.load(some(w.r))
	case 1:
		m := state.Maintenance{}
		for range w.r.IntN(3) {
			m[state.Place{Addr: netip.AddrFrom4([4]byte{10, 0, 1, byte(w.r.IntN(4))}), AnyPort: true}] = "file"
		}
		w.log("maintenance %v", m)
		w.follow(w.state.SetMaintenance(m, w.now))
	case 2, 3:
		w.observe(sdk.Unknown("crashed"))
	case 4, 5, 6, 7:
		w.observe(sdk.Down("no"))
	case 8:
		v := sdk.Up()
		weight := w.r.IntN(4)
		v.Weight = &weight
		w.observe(v)
	case 9:
		w.weigh()
	default:
		w.observe(sdk.Up())
	}
}

// weigh is the look at the table that checks ask for.
func (w *world) weigh() {
	if next := w.state.NextExpiry(); !next.IsZero() && !next.After(w.now) {
		w.log("expire")
		w.state.Expire(w.now)
	}
	asked, before := w.last, w.kernel.Clone()
	var ts []state.Transition
	w.last, ts = w.state.Drifted(w.last, w.kernel, w.now)
	w.follow(append(ts, w.state.Weigh(w.now)...))
	for k, s := range before {
		for at, r := range s.Servers {
			if is := w.kernel[k].Servers[at]; r != asked[k].Servers[at] && is.Weight != r.Weight {
				w.fail("%s %s: weight %d was set by hand, a check made it %d", k, at, r.Weight, is.Weight)
			}
		}
	}
}

func TestWhateverHappensTheTableIsAsAskedAndTheLogSaysIt(t *testing.T) {
	for seed := range uint64(400) {
		w := newWorld(t, seed)
		for range 60 {
			w.agree()
			w.fallbackRule()
			w.step()
		}
		w.agree()
	}
}

// A server that was in the table with weight, or whose checks once said up, and for which no
// check ever says down, is in the table with its weight from then on, through reloads.
func TestAHealthyServerNeverLeaves(t *testing.T) {
	for seed := range uint64(200) {
		w := newWorld(t, seed)
		for range 40 {
			healthy := map[state.ServerRef]bool{}
			for _, v := range w.state.Snapshot().Services {
				for _, r := range v.Servers {
					if r.Status == state.Up {
						healthy[state.ServerRef{Service: v.Key, Server: r.Key}] = true
					}
				}
			}
			switch w.r.IntN(4) {
			case 0:
				w.load(some(w.r))
			case 1:
				w.observe(sdk.Unknown("crashed"))
			default:
				w.observe(sdk.Up())
			}
			for i := range w.cfg.Services {
				s := &w.cfg.Services[i]
				for _, server := range s.Servers {
					if server.Unresolved {
						continue
					}
					in := w.kernel[s.Key].Servers[server.Key]
					if healthy[state.ServerRef{Service: s.Key, Server: server.Key}] && s.CheckType != config.Off && in != server.Server {
						w.fail("%s %s: %+v, want %+v", s.Key, server.Key, in, server.Server)
					}
				}
			}
		}
	}
}

// What somebody changes by hand stays as it is until a verdict changes the status of that very
// server; a look at the table never changes it, but for two things that are asked for.
func TestHandsOffAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		w := newWorld(t, seed)
		for range 40 {
			w.step()
			w.meddle()
			before := w.kernel.Clone()
			var ts []state.Transition
			w.log("look")
			w.last, ts = w.state.Drifted(w.last, w.kernel, w.now)
			w.follow(ts)
			allowed := before
			for _, tr := range ts {
				switch tr.Change {
				case state.AddedService:
					allowed[tr.Service] = w.kernel[tr.Service]
				case state.ReaddedQuiescent:
					allowed[tr.Service].Servers[tr.Server] = w.kernel[tr.Service].Servers[tr.Server]
				}
			}
			if !w.kernel.Equal(allowed) {
				w.fail("a look changed the table: %v, before %v", w.kernel, before)
			}
			if _, again := w.state.Drifted(w.last, w.kernel, w.now); len(again) > 0 {
				w.fail("told twice: %s", again[0].Text())
			}
		}
	}
}

// meddle is somebody with ipvsadm.
func (w *world) meddle() {
	for _, k := range slices.SortedFunc(maps.Keys(w.kernel), lvs.ServiceKey.Compare) {
		s := w.kernel[k]
		switch w.r.IntN(6) {
		case 0:
			delete(w.kernel, k)
			w.log("hand: %s gone", k)
		case 1:
			at := lvs.ServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(w.r.IntN(4))}), 80))
			s.Servers[at] = lvs.RealServer{Method: lvs.Masq, Weight: uint32(w.r.IntN(3))}
			w.log("hand: %s %s=%d", k, at, s.Servers[at].Weight)
		case 2:
			keys := slices.SortedFunc(maps.Keys(s.Servers), lvs.ServerKey.Compare)
			if len(keys) > 0 {
				at := keys[w.r.IntN(len(keys))]
				delete(s.Servers, at)
				w.log("hand: %s %s gone", k, at)
			}
		}
	}
}
