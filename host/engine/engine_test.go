package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/engine"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/lvs/memory"
	"github.com/ldirectord/ldirectord/sdk"
)

var (
	web   = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
	one   = server("10.0.0.2:80")
	two   = server("10.0.0.3:80")
	spare = server("10.0.0.9:80")
)

func server(s string) lvs.ServerKey { return lvs.ServerKey(netip.MustParseAddrPort(s)) }

// section is a virtual service with the servers one and two, weight 5, a fallback, connect checks.
func section(change func(*config.Service)) *config.Config {
	s := config.Service{
		Key: web, Virtual: lvs.VirtualService{Scheduler: "wrr"}, Name: "10.0.0.1:80",
		CheckType: config.Connect, CheckTimeout: 3 * time.Second, CheckInterval: 10 * time.Second,
		FailureCount: 1, Quiescent: true, CleanStop: true,
		Fallback: &config.Fallback{Key: spare, Server: lvs.RealServer{Weight: 1}},
	}
	for _, k := range []lvs.ServerKey{one, two} {
		a := netip.AddrPort(k)
		s.Servers = append(s.Servers, config.Server{
			Key: k, Name: k.String(), Server: lvs.RealServer{Weight: 5}, Addr: a, CheckAddr: a, CheckNetwork: "tcp",
		})
	}
	if change != nil {
		change(&s)
	}
	return &config.Config{File: "test.cf", Services: []config.Service{s}}
}

// checks is a Monitor whose verdicts the test gives.
type checks struct {
	set []state.Check
	out chan []state.Observation
}

func (c *checks) Set(set []state.Check)                    { c.set = set }
func (c *checks) Observations() <-chan []state.Observation { return c.out }

type sink struct{ took []state.Transition }

func (s *sink) Take(ts []state.Transition) { s.took = append(s.took, ts...) }

// journal is a log that the test reads while the engine goes on writing.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Reset()
}

// world is an engine in a bubble with all that surrounds it.
type world struct {
	t       *testing.T
	kernel  *memory.Controller
	checks  *checks
	sink    *sink
	log     journal
	memory  state.Memory
	options engine.Options
	*engine.Engine
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, kernel: memory.New(), checks: &checks{out: make(chan []state.Observation)}, sink: &sink{}}
	w.options = engine.Options{
		Controller: w.kernel, Monitor: w.checks, Sinks: []engine.Sink{w.sink},
		Log:           slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		MemoryChanged: func(m state.Memory) { w.memory = m },
	}
	return w
}

func (w *world) start(cfg *config.Config) {
	w.t.Helper()
	e, err := engine.Start(w.t.Context(), cfg, w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Engine = e
	w.t.Cleanup(func() {
		// The test's context is over by now; whatever is left must end all the same.
		if err := e.Stop(context.Background()); err != nil {
			w.t.Logf("stop: %v", err)
		}
	})
}

// say gives a verdict for every check of the server.
func (w *world) say(k lvs.ServerKey, v sdk.Verdict) {
	w.t.Helper()
	found := false
	for _, c := range w.checks.set {
		if c.Target.Addr == netip.AddrPort(k) {
			found = true
			w.checks.out <- []state.Observation{{Check: c.ID, Verdict: v, At: time.Now()}}
		}
	}
	if !found {
		w.t.Fatalf("no check of %s in %v", k, w.checks.set)
	}
	synctest.Wait()
}

// weights writes the servers of the web service in the kernel: "10.0.0.2:80=5 10.0.0.3:80=0".
func (w *world) weights() string {
	w.t.Helper()
	table, err := w.kernel.Table(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	s, ok := table[web]
	if !ok {
		return "no service"
	}
	var out []string
	for _, k := range []lvs.ServerKey{one, two, spare} {
		if r, ok := s.Servers[k]; ok {
			out = append(out, k.String()+"="+string('0'+rune(r.Weight)))
		}
	}
	return strings.Join(out, " ")
}

func (w *world) want(table string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.weights(); got != table {
		w.t.Errorf("table %q, want %q", got, table)
	}
}

// logged tells how many lines of the log hold text.
func (w *world) logged(text string) int {
	synctest.Wait()
	return strings.Count(w.log.String(), text)
}

func down() sdk.Verdict { return sdk.DownWith(sdk.CodeRefused, "connection refused") }

func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

func TestTheTableFollowsTheVerdicts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.want("")
		w.say(one, sdk.Up())
		w.want("10.0.0.2:80=5")
		w.say(two, down())
		w.want("10.0.0.2:80=5 10.0.0.3:80=0")
		w.say(one, down())
		w.want("10.0.0.2:80=0 10.0.0.3:80=0 10.0.0.9:80=1")
		w.say(two, sdk.Up())
		w.want("10.0.0.2:80=0 10.0.0.3:80=5")
		if w.logged(`msg="Quiescent real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 0)" virtual=10.0.0.1:80 real=10.0.0.2:80 check="connect tcp 10.0.0.2:80 3s" reason="connection refused"`) != 1 {
			t.Errorf("log:\n%s", &w.log)
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.want("no service")
		if last := w.sink.took[len(w.sink.took)-1]; last.Change != state.PurgedService {
			t.Errorf("the sink saw %v last", last)
		}
		<-w.Done()
		if err := w.Reload(t.Context(), section(nil)); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("reload after stop: %v", err)
		}
	})
}

func TestTheFallbackEntersWhenNobodyAnswersInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		time.Sleep(5*time.Second - time.Millisecond)
		w.want("")
		time.Sleep(2 * time.Millisecond)
		w.want("10.0.0.9:80=1")
		w.say(two, sdk.Up())
		w.want("10.0.0.3:80=5")
	})
}

func TestStartAdoptsAndFailsCleanly(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.kernel.Change(func(table lvs.Table) {
			table[web] = lvs.Service{
				VirtualService: lvs.VirtualService{Scheduler: "wrr", PrefixLen: 32},
				Servers:        map[lvs.ServerKey]lvs.RealServer{one: {Weight: 5}},
			}
		})
		bad := section(func(s *config.Service) { s.Virtual.Scheduler = "nonsense" })
		_, err := engine.Start(t.Context(), bad, w.options)
		if !errors.Is(err, lvs.ErrScheduler) || !strings.Contains(err.Error(), "ensure virtual service tcp:10.0.0.1:80") {
			t.Fatalf("err = %v", err)
		}
		if len(w.sink.took) > 0 || w.checks.set != nil {
			t.Error("a failed start told the sinks or started checks")
		}
		w.want("10.0.0.2:80=5")
		before := len(w.kernel.Edits())
		w.start(section(nil))
		if after := w.kernel.Edits(); len(after) != before {
			t.Errorf("adopting a right table made edits: %v", after[before:])
		}
	})
}

func TestARefusedEditIsTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, sdk.Up())
		stop := w.kernel.Fail(func(e lvs.Edit) bool { return e.At == two }, errors.New("no buffer space"))
		w.say(two, sdk.Up())
		w.want("10.0.0.2:80=5")
		w.say(one, down()) // other decisions do not wait
		w.want("10.0.0.2:80=0")
		time.Sleep(10 * time.Second)
		if n := w.logged("level=ERROR"); n != 1 {
			t.Errorf("%d error lines, want 1:\n%s", n, &w.log)
		}
		if got, want := w.Trouble(), "refused: ensure real server 10.0.0.3:80 (tcp:10.0.0.1:80): no buffer space"; got != want {
			t.Errorf("trouble %q, want %q", got, want)
		}
		if n := w.Counts().RefusedEdits; n != 4 { // at 0, 1, 3 and 7 s
			t.Errorf("%d attempts, want 4", n)
		}
		stop()
		time.Sleep(10 * time.Second)
		w.want("10.0.0.2:80=0 10.0.0.3:80=5")
		if w.Trouble() != "" {
			t.Errorf("trouble that is over: %q", w.Trouble())
		}
		if w.logged("made after all") != 1 {
			t.Errorf("log:\n%s", &w.log)
		}
	})
}

// lossy is a kernel whose answers get lost: edits are made, or not, and nobody knows.
type lossy struct {
	*memory.Controller
	made bool
	lost atomic.Bool
}

func (l *lossy) Apply(ctx context.Context, edits []lvs.Edit) error {
	if !l.lost.Load() {
		return l.Controller.Apply(ctx, edits)
	}
	if l.made {
		if err := l.Controller.Apply(ctx, edits); err != nil {
			return err
		}
	}
	return errors.New("connection lost")
}

func TestALostConnectionLosesNoEdit(t *testing.T) {
	for _, made := range []bool{false, true} {
		inBubble(t, func(t *testing.T, w *world) {
			kernel := &lossy{Controller: w.kernel, made: made}
			w.options.Controller = kernel
			w.start(section(nil))
			w.say(one, sdk.Up())
			kernel.lost.Store(true)
			w.say(one, down()) // quiesced in the kernel, or not
			w.say(one, sdk.Up())
			kernel.lost.Store(false)
			time.Sleep(2 * time.Second)
			w.want("10.0.0.2:80=5")
			w.say(two, down())
			w.want("10.0.0.2:80=5 10.0.0.3:80=0")
			if w.logged("Changed by hand") > 0 {
				t.Errorf("our own edit is taken for somebody else's:\n%s", &w.log)
			}
		})
	}
}

func TestAHungKernelStopsNoDecision(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, sdk.Up())
		w.say(two, sdk.Up())
		release := w.kernel.Hold()
		w.say(one, down())
		w.say(two, down())
		if !w.Snapshot().Services[0].AllDown {
			t.Error("the decision waited for the kernel")
		}
		time.Sleep(25 * time.Second)
		if w.logged("could not be programmed") == 0 {
			t.Errorf("log:\n%s", &w.log)
		}
		if !strings.HasPrefix(w.Trouble(), "the table could not be ") {
			t.Errorf("trouble %q", w.Trouble())
		}
		release()
		time.Sleep(40 * time.Second)
		w.want("10.0.0.2:80=0 10.0.0.3:80=0 10.0.0.9:80=1")
		if w.Trouble() != "" {
			t.Errorf("trouble that is over: %q", w.Trouble())
		}
	})
}

// slow is a kernel during whose edits something happens.
type slow struct {
	*memory.Controller
	meanwhile func()
}

func (s *slow) Apply(ctx context.Context, edits []lvs.Edit) error {
	s.meanwhile()
	return s.Controller.Apply(ctx, edits)
}

func TestVerdictsDuringAStopChangeNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		kernel := &slow{Controller: w.kernel, meanwhile: func() {}}
		w.options.Controller = kernel
		w.start(section(func(s *config.Service) { s.FallbackCommand = "/bin/page" }))
		w.say(one, down())
		w.say(two, down())
		told := len(w.sink.took)
		kernel.meanwhile = func() {
			select {
			case w.checks.out <- []state.Observation{{Check: w.checks.set[0].ID, Verdict: down(), At: time.Now()}}:
				synctest.Wait()
			case <-time.After(time.Second):
			}
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, tr := range w.sink.took[told:] {
			if tr.Change == state.Added || tr.Change == state.FallbackStarted {
				t.Errorf("after the stop: %+v", tr)
			}
		}
		w.want("no service")
	})
}

func TestHandsOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(func(s *config.Service) { s.CleanStop = false }))
		w.say(one, sdk.Up())
		w.say(two, sdk.Up())
		w.kernel.Change(func(table lvs.Table) { table[web].Servers[one] = lvs.RealServer{Weight: 0} })
		time.Sleep(100 * time.Second)
		w.want("10.0.0.2:80=0 10.0.0.3:80=5")
		if n := w.logged("Changed by hand"); n != 1 {
			t.Errorf("told %d times, want once:\n%s", n, &w.log)
		}
		if len(w.memory.Drained) != 1 || w.memory.Drained[0].Server != one {
			t.Errorf("memory %+v", w.memory)
		}
		w.kernel.Change(func(table lvs.Table) { delete(table, web) })
		time.Sleep(31 * time.Second)
		w.want("10.0.0.2:80=0 10.0.0.3:80=5")
		w.kernel.Change(func(table lvs.Table) { table[web].Servers[two] = lvs.RealServer{Weight: 0} })
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.want("10.0.0.2:80=0 10.0.0.3:80=0")
		if len(w.memory.Drained) != 2 {
			t.Errorf("a weight set by hand just before the stop is not remembered: %+v", w.memory)
		}
	})
}

// A reload tells once that a missing virtual service is made anew.
func TestReloadRebuildsWhatIsMissing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, sdk.Up())
		w.kernel.Change(func(table lvs.Table) { delete(table, web) })
		w.log.Reset()
		if err := w.Reload(t.Context(), section(nil)); err != nil {
			t.Fatal(err)
		}
		w.want("10.0.0.2:80=5")
		if n := w.logged("Added virtual server"); n != 1 {
			t.Errorf("told %d times:\n%s", n, &w.log)
		}
	})
}

// A stop rebuilds nothing, and does not say so.
func TestStopLeavesWhatIsMissing(t *testing.T) {
	for _, clean := range []bool{true, false} {
		inBubble(t, func(t *testing.T, w *world) {
			w.start(section(func(s *config.Service) { s.CleanStop = clean }))
			w.say(one, sdk.Up())
			w.kernel.Change(func(table lvs.Table) { delete(table, web) })
			w.log.Reset()
			if err := w.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.want("no service")
			if w.logged("Added virtual server") > 0 {
				t.Errorf("log:\n%s", &w.log)
			}
		})
	}
}

func TestWeightsOfChecks(t *testing.T) {
	asks := func(n int) sdk.Verdict {
		v := sdk.Up()
		v.Weight = &n
		return v
	}
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, asks(7))
		w.say(two, sdk.Up())
		w.want("10.0.0.2:80=7 10.0.0.3:80=5")
		time.Sleep(10 * time.Second)
		w.say(one, asks(0))
		w.say(two, sdk.Up())
		time.Sleep(time.Second)
		w.want("10.0.0.2:80=0 10.0.0.3:80=5")
		if len(w.memory.Drained) != 0 {
			t.Errorf("a check's weight 0 is remembered as an operator's: %+v", w.memory)
		}
		// Set by hand a moment before the check asks for another weight: the hand is seen first.
		w.kernel.Change(func(table lvs.Table) { table[web].Servers[one] = lvs.RealServer{Weight: 4} })
		w.say(one, asks(9))
		time.Sleep(time.Second)
		w.want("10.0.0.2:80=4 10.0.0.3:80=5")
		w.kernel.Change(func(table lvs.Table) { table[web].Servers[one] = lvs.RealServer{Weight: 0} })
		time.Sleep(30 * time.Second)
		w.want("10.0.0.2:80=9 10.0.0.3:80=5")
		// Three intervals of 10 s and the timeout of 3 s after the verdict it counts no more.
		time.Sleep(4 * time.Second)
		w.want("10.0.0.2:80=5 10.0.0.3:80=5")
		if n := w.logged("Reweighted real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 9)"); n != 1 {
			t.Errorf("the new weight was told %d times:\n%s", n, &w.log)
		}
	})
}

func TestReload(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, sdk.Up())
		w.say(two, sdk.Up())
		w.kernel.Change(func(table lvs.Table) { table[web].Servers[spare] = lvs.RealServer{Weight: 3} })
		before := len(w.kernel.Edits())
		if err := w.Reload(t.Context(), section(func(s *config.Service) {
			s.Servers = s.Servers[:1]
			s.Servers[0].Server.Weight = 7
			s.Fallback = nil
		})); err != nil {
			t.Fatal(err)
		}
		w.want("10.0.0.2:80=7")
		edits := w.kernel.Edits()[before:]
		if len(edits) != 3 || edits[0].Op != lvs.UpdateServer {
			t.Errorf("edits %v", edits)
		}
		if len(w.checks.set) != 1 {
			t.Errorf("checks %v", w.checks.set)
		}
		release := w.kernel.Hold()
		defer release()
		err := w.Reload(t.Context(), section(nil))
		if err == nil || len(w.checks.set) != 1 {
			t.Errorf("a reload without a table: %v", err)
		}
	})
}

// Who gives a reload up learns whether it happened: with an error it never does.
func TestAReloadGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, sdk.Up())
		other := section(func(s *config.Service) { s.Servers = s.Servers[1:] })
		release := w.kernel.Hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Reload(ctx, other); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		release()
		time.Sleep(time.Minute)
		w.want("10.0.0.2:80=5")

		kernel := &slow{Controller: w.kernel, meanwhile: func() {}}
		w.options.Controller = kernel
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.start(section(nil))
		w.say(one, sdk.Up())
		kernel.meanwhile = func() { time.Sleep(5 * time.Second) }
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Reload(ctx, other); err != nil {
			t.Errorf("the engine has gone over, only the kernel is slow: err = %v", err)
		}
		if n := len(w.Snapshot().Services[0].Servers); n != 1 {
			t.Errorf("%d servers, want that of the new configuration alone", n)
		}
		time.Sleep(10 * time.Second)
		w.want("10.0.0.9:80=1") // two has not answered in time
	})
}

func TestMaintenance(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.options.Maintenance = state.Maintenance{{Addr: one.Addr(), AnyPort: true}: "10.0.0.2"}
		w.start(section(nil))
		w.say(one, sdk.Up())
		w.say(two, sdk.Up())
		w.want("10.0.0.2:80=0 10.0.0.3:80=5")
		time.Sleep(time.Second) // the verdicts are in the snapshot
		if err := w.SetMaintenance(t.Context(), state.Maintenance{{Addr: one.Addr(), AnyPort: true}: "new disk"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := w.Snapshot().Services[0].Servers[0].Maintenance; got != "new disk" {
			t.Errorf("reason %q after it changed", got)
		}
		if err := w.SetMaintenance(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		w.want("10.0.0.2:80=5 10.0.0.3:80=5")
	})
}

func TestFaultsMoveNothingAndAreToldOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, sdk.Up())
		for range 3 {
			w.say(one, sdk.Unknown("plugin crashed"))
		}
		w.want("10.0.0.2:80=5")
		time.Sleep(time.Second)
		if got := w.Snapshot().Services[0].Servers[0].Checks[0].Verdict.Reason; got != "plugin crashed" {
			t.Errorf("last message %q", got)
		}
		w.say(one, sdk.Up())
		if w.logged("cannot tell") != 1 || w.logged("works again") != 1 || w.Counts().Faults != 3 {
			t.Errorf("log:\n%s", &w.log)
		}
	})
}

// sayAll gives every check a verdict in one batch.
func (w *world) sayAll(v func(n int) sdk.Verdict) {
	var batch []state.Observation
	for n, c := range w.checks.set {
		batch = append(batch, state.Observation{Check: c.ID, Verdict: v(n), At: time.Now()})
	}
	w.checks.out <- batch
	synctest.Wait()
}

// A plugin of many checks that crashes again and again costs a few lines, not one for each check.
func TestFaultsOfOneReasonAreOneLine(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(func(s *config.Service) {
			for n := range 1000 {
				a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n / 250), byte(n % 250)}), 80)
				s.Servers = append(s.Servers, config.Server{
					Key: lvs.ServerKey(a), Name: a.String(), Server: lvs.RealServer{Weight: 5}, Addr: a, CheckAddr: a, CheckNetwork: "tcp",
				})
			}
		}))
		up := func(int) sdk.Verdict { return sdk.Up() }
		crash := func(pid int) { w.sayAll(func(int) sdk.Verdict { return sdk.Unknown("plugin %d crashed", pid) }) }
		lines := func(when string, cannot, again int) {
			t.Helper()
			if w.logged("cannot tell") != cannot || w.logged("works again") != again {
				t.Fatalf("%s: want %d faults and %d ends of them, log:\n%s", when, cannot, again, &w.log)
			}
		}
		w.sayAll(up)
		w.log.Reset()
		crash(1)
		lines("crash", 1, 0)
		if w.logged("checks=1002 reason=\"plugin 1 crashed\"") != 1 || w.Counts().Faults != 1002 {
			t.Errorf("log:\n%s", &w.log)
		}
		w.sayAll(up)
		lines("works", 1, 1)
		for pid := range 5 { // within the same ten seconds
			crash(pid)
			w.sayAll(up)
		}
		lines("flapping", 1, 1)
		crash(9)
		lines("still quiet", 1, 1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		lines("told when the time is over", 2, 1)
		w.sayAll(func(n int) sdk.Verdict { // another reason is another line at once
			if n == 7 {
				return sdk.Unknown("no descriptors")
			}
			return sdk.Up()
		})
		lines("another reason", 3, 2)
		if w.logged("checks=1001") != 1 || w.logged("checks=1 reason=\"no descriptors\"") != 1 {
			t.Errorf("log:\n%s", &w.log)
		}
	})
}

// Digests of secrets are of use to nobody who has the log of a run.
func TestIdentitiesAreSalted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		secret := section(func(s *config.Service) {
			s.CheckType = config.Negotiate
			s.Servers[0].Options, s.Servers[0].Secrets = map[string]string{"passwd": "x"}, map[string]bool{"passwd": true}
		})
		run := func(salt string) state.CheckID {
			w.options.Salt = []byte(salt)
			w.start(secret)
			first := w.checks.set[0].ID
			if err := w.Reload(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			if again := w.checks.set[0].ID; again != first {
				t.Errorf("%s after a reload, was %s", again, first)
			}
			return first
		}
		if one, two := run(""), run(""); one == two {
			t.Error("the salt is not random")
		}
		if one, two := run("a"), run("a"); one != two {
			t.Error("the salt of the options is not used")
		}
	})
}

// That nothing is done about a failed check is worth a line as well.
func TestAFailureOfARemovedServerIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(section(nil))
		w.say(one, sdk.Up())
		w.say(two, sdk.Up())
		w.kernel.Change(func(table lvs.Table) { delete(table[web].Servers, one) })
		time.Sleep(31 * time.Second)
		synctest.Wait()
		w.log.Reset()
		w.say(one, down())
		w.say(one, down())
		w.want("10.0.0.3:80=5")
		if w.logged("stays out of the table") != 1 || w.logged("level=WARN") != 1 || w.logged(`reason="connection refused"`) != 1 {
			t.Errorf("log:\n%s", &w.log)
		}
	})
}
