package maintenance

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
)

// scanEvery is the time between two looks into the directory: a file acts within a second.
const scanEvery = 500 * time.Millisecond

// scanLimit is how long a look may take until it is told that it does: on a file system whose server is gone
// it may take for ever.
const scanLimit = 3 * time.Second

// Asked is what to watch: the directory, "" for none, and the addresses of the real servers, whose
// host names files may have, with the names that the configuration gives them.
type Asked struct {
	Dir   string
	Names map[netip.Addr][]string
}

// Watcher watches a maintenancedir.
type Watcher struct {
	Asked    func() Asked                  // what to watch now; called before each look
	Set      func(state.Maintenance) error // told who is in maintenance whenever that changes, and again after an error
	Resolver Resolver                      // *net.Resolver
	Log      *slog.Logger

	names *names // not touched while a look is under way
	last  state.Maintenance
	looks chan look                        // what a look has seen
	began time.Time                        // of the look under way; zero when there is none
	list  func(dir string) ([]Mark, error) // list; tests have others
	fault atomic.Pointer[string]           // why the directory cannot be read now; nil: it can
}

// look is what a look into the directory has seen.
type look struct {
	who   state.Maintenance
	hosts bool // some file names a host
	err   error
}

// First returns who is in maintenance at the start; Run goes on from there. If a file names a host it
// waits for the names of the real servers, for a few seconds: who is in maintenance must not get
// connections just because we have started anew. So it does for the directory. ctx is the one that Run is given.
func (w *Watcher) First(ctx context.Context) state.Maintenance {
	w.names, w.looks = newNames(w.Resolver), make(chan look, 1)
	if w.list == nil {
		w.list = list
	}
	asked := w.Asked()
	seen, ok := w.firstLook(ctx, asked)
	if ok && seen.hosts {
		w.names.resolve(ctx, slices.Collect(maps.Keys(asked.Names)))
		seen, ok = w.firstLook(ctx, asked)
	}
	if ok && !w.failed(seen.err) {
		w.last = seen.who
	}
	return w.last
}

// firstLook looks, and waits for that as long as a look may take.
func (w *Watcher) firstLook(ctx context.Context, asked Asked) (look, bool) {
	w.look(asked)
	limit := time.NewTimer(scanLimit)
	defer limit.Stop()
	select {
	case seen := <-w.looks:
		w.began = time.Time{}
		return seen, true
	case <-limit.C:
		w.failed(errSlow)
	case <-ctx.Done():
	}
	return look{}, false
}

var errSlow = fmt.Errorf("read maintenancedir: it has not answered for %v", scanLimit)

// Run watches until ctx ends, after First. A directory that cannot be read changes nobody's state.
func (w *Watcher) Run(ctx context.Context) {
	defer w.names.drain()
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		found := w.names.found
		if !w.began.IsZero() {
			found = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case x := <-found:
			if !w.names.take(x, time.Now()) {
				continue
			}
		case seen := <-w.looks:
			w.began = time.Time{}
			w.take(seen)
			continue
		}
		switch {
		case w.began.IsZero():
			asked := w.Asked()
			if asked.Dir != "" {
				w.names.look(ctx, slices.Collect(maps.Keys(asked.Names)), time.Now())
			}
			w.look(asked)
		case time.Since(w.began) > scanLimit:
			w.failed(errSlow)
		}
	}
}

// take does what follows from a look.
func (w *Watcher) take(seen look) {
	if w.failed(seen.err) || maps.Equal(seen.who, w.last) {
		return
	}
	if !w.failed(w.Set(seen.who)) {
		w.last = seen.who
	}
}

// Fault says why the directory cannot be read now, "" when it can. It may be called concurrently.
func (w *Watcher) Fault() string {
	if text := w.fault.Load(); text != nil {
		return *text
	}
	return ""
}

// failed tells whether err is an error, and the log of a new one.
func (w *Watcher) failed(err error) bool {
	if err == nil {
		w.fault.Store(nil)
		return false
	}
	if text := err.Error(); w.Fault() != text {
		w.fault.Store(&text)
		w.Log.Error("maintenance stays as it is", "reason", err)
	}
	return true
}

// look begins a look, whose result comes through looks.
func (w *Watcher) look(asked Asked) {
	w.began = time.Now()
	go func() { w.looks <- w.scan(asked) }() // waited for by who takes from looks, or it ends with the process
}

// scan reads the directory. Reasons are read for real servers alone: other files may be many. Their addresses
// count all the same, for a reload may bring them.
func (w *Watcher) scan(asked Asked) look {
	if asked.Dir == "" {
		return look{}
	}
	marks, err := w.list(asked.Dir)
	if err != nil {
		return look{err: err}
	}
	seen := look{who: state.Maintenance{}}
	for _, mark := range marks {
		seen.hosts = seen.hosts || mark.Host != ""
		addrs := w.names.meant(mark, asked.Names)
		ours := slices.ContainsFunc(addrs, func(a netip.Addr) bool { _, is := asked.Names[a]; return is })
		if ours && !mark.look(asked.Dir) {
			continue
		}
		for _, addr := range addrs {
			seen.who[state.Place{Addr: addr, Port: mark.Port, AnyPort: mark.AnyPort}] = mark.Text()
		}
	}
	return seen
}
