package monitor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

// probed is one start as the fake Runner saw it.
type probed struct {
	port uint16
	at   time.Duration // since the fake was made
	due  sdk.Due
}

// fake is a Runner whose probes end as answer says: a verdict after a while, or never.
type fake struct {
	answer func(p probed) (v sdk.Verdict, after time.Duration, ever bool)
	base   time.Time
	out    chan []sdk.Result
	stop   chan struct{}
	wg     sync.WaitGroup

	mu        sync.Mutex // guards what follows
	targets   map[uint64]sdk.Target
	starts    []probed
	batches   int
	forgotten []uint64
	flying    int
	peak      int
	misused   error
}

func newFake(answer func(probed) (sdk.Verdict, time.Duration, bool)) *fake {
	return &fake{
		answer: answer, base: time.Now(), targets: map[uint64]sdk.Target{},
		out: make(chan []sdk.Result), stop: make(chan struct{}),
	}
}

// upAfter answers every probe with Up after d.
func upAfter(d time.Duration) func(probed) (sdk.Verdict, time.Duration, bool) {
	return func(probed) (sdk.Verdict, time.Duration, bool) { return sdk.Up(), d, true }
}

func (f *fake) Register(id uint64, t sdk.Target, _ sdk.Options) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.targets[id]; ok {
		f.misused = errors.Join(f.misused, fmt.Errorf("id %d registered twice", id))
	}
	f.targets[id] = t
}

func (f *fake) Forget(id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgotten = append(f.forgotten, id)
}

func (f *fake) Start(due []sdk.Due) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches++
	for _, d := range due {
		t, ok := f.targets[d.ID]
		if !ok {
			f.misused = errors.Join(f.misused, fmt.Errorf("id %d started but not registered", d.ID))
		}
		p := probed{port: t.Addr.Port(), at: time.Since(f.base), due: d}
		f.starts = append(f.starts, p)
		f.flying++
		f.peak = max(f.peak, f.flying)
		v, after, ever := f.answer(p)
		if ever {
			f.wg.Go(func() { f.deliver(d.ID, v, after) })
		}
	}
}

func (f *fake) deliver(id uint64, v sdk.Verdict, after time.Duration) {
	select {
	case <-time.After(after):
	case <-f.stop:
		return
	}
	f.mu.Lock()
	f.flying--
	f.mu.Unlock()
	select {
	case f.out <- []sdk.Result{{ID: id, Verdict: v}}:
	case <-f.stop:
	}
}

func (f *fake) Results() <-chan []sdk.Result { return f.out }

// shutDown ends the fake as the end of a plugin process would.
func (f *fake) shutDown() {
	close(f.stop)
	f.wg.Wait()
	close(f.out)
}

// of gives the starts of one port.
func (f *fake) of(port uint16) (at []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.starts {
		if s.port == port {
			at = append(at, s.at)
		}
	}
	return at
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.starts)
}

// check makes a check of a port: its only mark.
func check(port int, interval time.Duration) state.Check {
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(port))
	return state.Check{
		ID: state.CheckID(fmt.Sprint("http ", a)), Kind: "http",
		Target:   sdk.Target{Service: "http", Addr: a, Network: "tcp"},
		Interval: interval, Timeout: 5 * time.Second,
	}
}

func checks(n int, interval time.Duration) []state.Check {
	cs := make([]state.Check, n)
	for i := range cs {
		cs[i] = check(i+1, interval)
	}
	return cs
}

// rig is a Monitor over fakes in a synctest bubble, with a reader that takes all.
type rig struct {
	*Monitor
	fakes map[string]*fake // by kind
	mu    sync.Mutex       // guards obs
	obs   []state.Observation
}

// inBubble runs f in a bubble with a Monitor over the fakes that fakes makes, by kind.
func inBubble(t *testing.T, o Options, fakes func() map[string]*fake, f func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{fakes: fakes()}
		if o.Runner == nil {
			o.Runner = func(kind, pool string) (Runner, error) {
				f, ok := r.fakes[kind]
				if !ok {
					return nil, fmt.Errorf("no such checker")
				}
				return f, nil
			}
		}
		o.Rand = rand.New(rand.NewPCG(1, 2))
		r.Monitor = New(o)
		defer r.end(t)
		f(t, r)
	})
}

// end closes the Monitor, then the fakes, and says how they were misused.
func (r *rig) end(t *testing.T) {
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	for kind, f := range r.fakes {
		close(f.stop)
		if f.misused != nil {
			t.Errorf("%s: %v", kind, f.misused)
		}
	}
}

// read takes observations until the Monitor closes.
func (r *rig) read() {
	go func() { // ends with Close
		for batch := range r.Observations() {
			r.mu.Lock()
			r.obs = append(r.obs, batch...)
			r.mu.Unlock()
		}
	}()
}

func (r *rig) seen() []state.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]state.Observation(nil), r.obs...)
}

// pass lets fake time go by, and everything that happens in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// http gives fakes with one kind only.
func http(answer func(probed) (sdk.Verdict, time.Duration, bool)) func() map[string]*fake {
	return func() map[string]*fake { return map[string]*fake{"http": newFake(answer)} }
}
