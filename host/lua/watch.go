package lua

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
)

// watch keeps what all runs hold together within bounds. Go knows no memory of one goroutine, so
// it goes by the heap of the process. Runs look at that themselves, in between
// instructions: as soon as one has allocated much, the heap as it is then is the base that it
// may grow from. When it has grown by what is allowed, garbage is collected at once, while all who want to
// grow it wait; and when that does not help, those who allocated most are ended.
type watch struct {
	mu    sync.Mutex
	heavy map[*run]struct{}
	base  atomic.Uint64 // bytes of heap when the first of heavy became it; 0: none is
}

// look is called by a run now and then. heap is the size of the heap, and what the run is about
// to add. A heavy run stays known until it is forgotten.
func (w *watch) look(r *run, heap uint64) {
	if base := w.base.Load(); !r.heavy && (base == 0 || heap <= base+growth) {
		return
	}
	if !r.heavy && !w.mu.TryLock() {
		return // another sees to it, and this run is none of those to wait
	} else if r.heavy {
		w.mu.Lock()
	}
	defer w.mu.Unlock()
	if r.heavy {
		if len(w.heavy) == 0 {
			w.heavy = map[*run]struct{}{}
			w.base.Store(heap - min(heap-1, r.size.Load()))
		}
		w.heavy[r] = struct{}{}
	}
	if heap > w.base.Load()+growth && len(w.heavy) > 0 {
		w.settle(r)
	}
}

// settle collects garbage and ends those who hold too much. w.mu is held. Another run may just
// have done so, which the heap tells.
func (w *watch) settle(r *run) {
	base := w.base.Load()
	if r.heap() <= base+growth-maxString {
		return
	}
	runtime.GC()
	var most uint64
	for h := range w.heavy {
		most = max(most, h.size.Load())
	}
	if r.heap() > base+held {
		for h := range w.heavy {
			if h.size.Load() >= most/4 {
				h.stop("the memory that scripts may use is used up: they may hold 48 MiB together")
			}
		}
	}
	for h := range w.heavy {
		h.size.Store(heavyAfter)
	}
}

// heap is the size of the heap now, in bytes.
func (r *run) heap() uint64 {
	metrics.Read(r.sample[1:])
	return r.sample[1].Value.Uint64()
}

// forget drops a run that is over.
func (w *watch) forget(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.heavy, r)
	if len(w.heavy) == 0 {
		w.base.Store(0)
	}
}
