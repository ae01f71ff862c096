package lua

import (
	"runtime"
	"sync"
	"time"
)

// slice is how long a heavy run goes on while others wait, and stale after how long without a
// sign of it a turn is somebody else's: its run waits for the network.
const (
	slice = 10 * time.Millisecond
	stale = 20 * time.Millisecond
)

// turns has heavy runs go one after another, so that the processors are left for
// everybody else, and so that no more than a few can make something big at the same time.
type turns struct {
	mu      sync.Mutex
	holders map[*run]struct{}
	waiting int
}

// take gives r a turn, and waits for it if need be, or until r is over. A run that has a turn
// calls it again and again: it may have to hand it on. It returns how long r waited.
func (t *turns) take(r *run) (waited time.Duration) {
	began := time.Now()
	t.mu.Lock()
	if _, mine := t.holders[r]; mine {
		if t.waiting == 0 || began.Sub(r.turn) < slice {
			r.seen.Store(began.UnixNano())
			t.mu.Unlock()
			return 0
		}
		delete(t.holders, r)
	} else if t.grant(r, began) {
		t.mu.Unlock()
		return 0
	}
	t.waiting++
	for {
		pause := time.Duration(t.waiting) * time.Millisecond // all together look every millisecond
		t.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-r.done:
		}
		t.mu.Lock()
		if r.Context.Err() != nil || t.grant(r, time.Now()) {
			t.waiting--
			t.mu.Unlock()
			return time.Since(began)
		}
	}
}

// grant gives r a turn when there is one. t.mu is held.
func (t *turns) grant(r *run, now time.Time) bool {
	for other := range t.holders {
		if now.UnixNano()-other.seen.Load() > int64(stale) {
			delete(t.holders, other)
		}
	}
	if len(t.holders) >= max(1, runtime.GOMAXPROCS(0)/2) {
		return false
	}
	if t.holders == nil {
		t.holders = map[*run]struct{}{}
	}
	t.holders[r] = struct{}{}
	r.turn = now
	r.seen.Store(now.UnixNano())
	return true
}

// leave ends r's turn, if it has one.
func (t *turns) leave(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.holders, r)
}
