package lua

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// watch keeps what all runs hold together within bounds. Go knows no memory of one goroutine, so
// it goes by the heap of the process. Runs look at that themselves, in between
// instructions: as soon as one has allocated much, the heap as it is then is the base that it
// may grow from. When it has grown by what is allowed, garbage is collected at once, while all who want to
// grow it wait; and when that does not help, those who allocated most are ended.
type watch struct {
	mu       sync.Mutex
	suspects map[*run]struct{}
	base     uint64 // bytes of heap when the first of suspects became one
	settled  int    // collections forced
}

// look is called by a run that has allocated much. heap is the size of the heap, and what the
// run is about to add.
func (w *watch) look(r *run, heap uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !r.suspect {
		if len(w.suspects) == 0 {
			w.suspects = map[*run]struct{}{}
			w.base = heap - min(heap, r.size.Load())
		}
		w.suspects[r], r.suspect = struct{}{}, true
	}
	if heap > w.base+growth {
		w.settle(r)
	}
}

// settle collects garbage and ends those who hold too much. w.mu is held. Another run may just
// have done so, which the heap tells.
func (w *watch) settle(r *run) {
	if r.heap() <= w.base+growth-maxString {
		return
	}
	runtime.GC()
	w.settled++
	var most uint64
	for s := range w.suspects {
		most = max(most, s.size.Load())
	}
	if heap := r.heap(); heap > w.base+held {
		for s := range w.suspects {
			if s.size.Load() >= most/4 {
				s.stop("the memory that scripts may use is used up: they may hold 48 MiB together")
			}
		}
	}
	for s := range w.suspects {
		s.size.Store(suspectAfter)
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
	delete(w.suspects, r)
}
