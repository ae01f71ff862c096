package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
)

// BodyBudget is how many bytes of answers a check should hold at once, over all its probes.
const BodyBudget = 64 << 20

// ErrNoRoom says that a probe's time passed while it waited for room in its Budget. Judge calls it
// Unknown: it says nothing about the server.
var ErrNoRoom = errors.New("no room for its answer")

// noRoom is an ErrNoRoom, which is a kind of missing memory.
type noRoom struct{ size int64 }

func (e noRoom) Error() string {
	return fmt.Sprintf("%v: the %d bytes that all probes have for answers were in use", ErrNoRoom, e.size)
}

func (noRoom) Unwrap() []error { return []error{ErrNoRoom, syscall.ENOMEM} }

// Budget bounds the bytes that the probes of a process hold together, so that many large answers at once
// make probes wait instead of the process grow. Probes take from it through a Share each.
//
// One probe at a time may overdraw the budget by what it needs: else probes that hold a part of their
// answers each could wait for one another for ever. All methods may be called concurrently.
type Budget struct {
	mu      sync.Mutex // guards what follows, and the fields of all Shares
	size    int64
	free    int64    // below zero: overdrawn
	over    *Share   // who may overdraw; nil: nobody has to
	waiting []*claim // first come, first served
}

// claim is a Share that waits for room.
type claim struct {
	share   *Share
	bytes   int64
	granted chan struct{} // closed when it has it
}

// NewBudget makes a Budget of that many bytes. Make one for a check, beside it; see BodyBudget.
func NewBudget(bytes int) *Budget { return &Budget{size: int64(bytes), free: int64(bytes)} }

// Share is what one probe holds of a Budget. It is for one goroutine. A nil Share is of no budget:
// it has room for everything.
type Share struct {
	budget *Budget
	held   int64
}

// Share begins an empty Share. Release ends it.
func (b *Budget) Share() *Share { return &Share{budget: b} }

// Grow takes bytes more, before the memory is allocated. When the budget is used up it waits until
// others release theirs. Its error, when ctx ends before, is context.Canceled for a probe that was
// cancelled, and wraps ErrNoRoom for one whose time is over.
func (s *Share) Grow(ctx context.Context, bytes int) error {
	if s == nil || bytes <= 0 {
		return nil
	}
	b := s.budget
	b.mu.Lock()
	c := &claim{share: s, bytes: int64(bytes)}
	if b.grant(c) {
		b.mu.Unlock()
		return nil
	}
	c.granted = make(chan struct{})
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, c)
	if i < 0 {
		return nil // granted at the last moment
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return noRoom{b.size}
}

// Try is Grow without the waiting: it says whether there was room, and takes nothing when there was not.
func (s *Share) Try(bytes int) bool {
	if s == nil {
		return true
	}
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return s.budget.free >= int64(bytes) && s.budget.grant(&claim{share: s, bytes: int64(bytes)})
}

// grant gives c its bytes when there is room, or when nobody else overdraws. b.mu is held.
func (b *Budget) grant(c *claim) bool {
	if b.free < c.bytes {
		if b.over != nil && b.over != c.share {
			return false
		}
		b.over = c.share
	}
	b.free -= c.bytes
	c.share.held += c.bytes
	return true
}

// Release gives back all that the Share holds, which is empty then.
func (s *Share) Release() {
	if s == nil {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += s.held
	s.held = 0
	if b.over == s {
		b.over = nil
	}
	n := 0
	for n < len(b.waiting) && b.grant(b.waiting[n]) {
		close(b.waiting[n].granted)
		n++
	}
	b.waiting = slices.Delete(b.waiting, 0, n)
}
