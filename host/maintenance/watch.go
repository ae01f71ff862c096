package maintenance

import (
	"context"
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

// Asked is what to watch: the directory, "" for none, and the addresses of the real servers, whose
// host names files may have, with the names that the configuration gives them.
type Asked struct {
	Dir   string
	Names map[netip.Addr][]string
}

// Watcher watches a maintenancedir.
type Watcher struct {
	Asked    func() Asked            // what to watch now; called before each look
	Set      func(state.Maintenance) // told who is in maintenance whenever that changes
	Resolver Resolver                // *net.Resolver
	Log      *slog.Logger

	names *names
	last  state.Maintenance
	fault atomic.Pointer[string] // why the directory cannot be read now; nil: it can
}

// First returns who is in maintenance at the start; Run goes on from there. If a file names a host it
// waits for the names of the real servers, for a few seconds: who is in maintenance must not get
// connections just because we have started anew. ctx is the one that Run is given.
func (w *Watcher) First(ctx context.Context) state.Maintenance {
	w.names = newNames(w.Resolver)
	asked := w.Asked()
	marks, _ := Read(asked.Dir) // an error is scan's to tell
	if slices.ContainsFunc(marks, func(m Mark) bool { return m.Host != "" }) {
		w.names.resolve(ctx, slices.Collect(maps.Keys(asked.Names)))
	}
	w.last, _ = w.scan()
	return w.last
}

// Run watches until ctx ends, after First. A directory that cannot be read changes nobody's state.
func (w *Watcher) Run(ctx context.Context) {
	defer w.names.drain()
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case x := <-w.names.found:
			if !w.names.take(x, time.Now()) {
				continue
			}
		}
		asked := w.Asked()
		if asked.Dir != "" {
			w.names.look(ctx, slices.Collect(maps.Keys(asked.Names)), time.Now())
		}
		if m, ok := w.scan(); ok && !maps.Equal(m, w.last) {
			w.last = m
			w.Set(m)
		}
	}
}

// Fault says why the directory cannot be read now, "" when it can. It may be called concurrently.
func (w *Watcher) Fault() string {
	if text := w.fault.Load(); text != nil {
		return *text
	}
	return ""
}

// scan reads the directory; false when it cannot be read.
func (w *Watcher) scan() (state.Maintenance, bool) {
	asked := w.Asked()
	if asked.Dir == "" {
		w.fault.Store(nil)
		return nil, true
	}
	marks, err := Read(asked.Dir)
	if err != nil {
		if text := err.Error(); w.Fault() != text {
			w.fault.Store(&text)
			w.Log.Error("maintenance stays as it is", "reason", err)
		}
		return nil, false
	}
	w.fault.Store(nil)
	m := state.Maintenance{}
	for _, mark := range marks {
		for _, addr := range w.names.meant(mark, asked.Names) {
			m[state.Place{Addr: addr, Port: mark.Port, AnyPort: mark.AnyPort}] = mark.Text()
		}
	}
	return m, true
}
