package script

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"
)

// slot is a place for one interpreter, which comes and goes. Who holds the place alone uses the rest.
type slot struct {
	place       chan struct{} // holds one value while the slot is taken
	user        string
	scripts     int // that were given to it; guarded by slots.mu
	interpreter *interpreter
	idle        *time.Timer
	running     sync.Mutex // guards interrupting against the change of the interpreter
	closed      bool       // guarded by running
}

// slots says which check runs in which interpreter: one script's all in the same.
type slots struct {
	log *slog.Logger
	max int

	mu       *sync.Mutex // guards the rest
	all      []*slot
	byScript map[scriptOf]*slot
	told     map[scriptOf]bool // that checks of it were moved
	closed   bool
}

// scriptOf is whose interpreter it is: scripts of different users never share one.
type scriptOf struct{ script, user string }

func newSlots(limit int, log *slog.Logger) slots {
	return slots{
		log: log, max: limit, mu: &sync.Mutex{},
		byScript: map[scriptOf]*slot{}, told: map[scriptOf]bool{},
	}
}

// turn is what a check asks for.
type turn struct {
	script, user string
	check        *perlScript
	patience     time.Duration // after that it would rather run elsewhere than wait on
}

// take waits for the interpreter that the check belongs to and takes it; nil when ctx ended first.
func (s *slots) take(ctx context.Context, t turn) *slot {
	own := s.of(t)
	patience := time.NewTimer(t.patience)
	defer patience.Stop()
	select {
	case own.place <- struct{}{}:
		return own
	case <-ctx.Done():
		return nil
	case <-patience.C:
	}
	if other := s.move(t, own); other != nil {
		return other
	}
	select {
	case own.place <- struct{}{}:
		return own
	case <-ctx.Done():
		return nil
	}
}

// of returns the slot of the check, which is its script's.
func (s *slots) of(t turn) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.check.moved != nil {
		return t.check.moved
	}
	key := scriptOf{t.script, t.user}
	if known := s.byScript[key]; known != nil {
		return known
	}
	least := s.add(t.user)
	if least == nil {
		for _, one := range s.all {
			if one.user == t.user && (least == nil || one.scripts < least.scripts) {
				least = one
			}
		}
	}
	least.scripts++
	s.byScript[key] = least
	return least
}

// add makes a slot for a user's scripts; nil when there are enough. Every user has one at least.
func (s *slots) add(user string) *slot {
	has := false
	for _, one := range s.all {
		has = has || one.user == user
	}
	if has && len(s.all) >= s.max {
		return nil
	}
	one := &slot{place: make(chan struct{}, 1), user: user, closed: s.closed}
	s.all = append(s.all, one)
	return one
}

// move gives a check that waits another slot for good, and takes that: one that is free, or a new
// one; nil when there is none.
func (s *slots) move(t turn, own *slot) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if one == own || one.user != t.user {
			continue
		}
		select {
		case one.place <- struct{}{}:
			s.pin(t, one)
			return one
		default:
		}
	}
	one := s.add(t.user)
	if one != nil {
		one.place <- struct{}{}
		s.pin(t, one)
	}
	return one
}

func (s *slots) pin(t turn, to *slot) {
	t.check.moved = to
	key := scriptOf{t.script, t.user}
	if !s.told[key] {
		s.told[key] = true
		s.log.Warn("Check script takes too long for one interpreter: its checks no longer share all variables", "script", t.script)
	}
}

// give lets the next one have the slot.
func (s *slot) give() { <-s.place }

// ready sees to it that the slot has an interpreter.
func (s *slot) ready(c *perlChecker, who account, deadline time.Time) error {
	if s.idle != nil {
		s.idle.Stop()
	}
	if i := s.interpreter; i != nil {
		select {
		case <-i.exited: // somebody killed it while it had nothing to do
			s.without().discard()
		default:
			return nil
		}
	}
	i, err := newInterpreter(c.launcher, c.perl, who, newSpeech(c.log), deadline)
	if err != nil {
		return err
	}
	s.running.Lock()
	s.interpreter = i
	closed := s.closed
	s.running.Unlock()
	if closed {
		s.without().discard()
		return errClosed
	}
	return nil
}

// without empties the slot and returns what was in it.
func (s *slot) without() *interpreter {
	s.running.Lock()
	defer s.running.Unlock()
	i := s.interpreter
	s.interpreter = nil
	return i
}

// renew has an interpreter that has become too big or old make place for a new one, and one
// that is not asked for a long time end.
func (s *slot) renew(c *perlChecker) {
	if s.interpreter.calls >= c.limits.calls || s.interpreter.resident() > c.limits.resident {
		c.launcher.later(s.without().retire)
		return
	}
	if s.idle == nil {
		s.idle = time.AfterFunc(c.limits.idle, s.rest)
	} else {
		s.idle.Reset(c.limits.idle)
	}
}

// rest ends the interpreter of a slot that nobody holds.
func (s *slot) rest() {
	select {
	case s.place <- struct{}{}:
	default:
		return // it is busy, after all
	}
	defer s.give()
	if s.interpreter != nil {
		s.without().retire()
	}
}

// interrupt ends what runs: calls in flight fail, and no interpreter begins any more.
func (c *perlChecker) interrupt() {
	c.slots.mu.Lock()
	defer c.slots.mu.Unlock()
	c.slots.closed = true
	for _, one := range c.slots.all {
		one.running.Lock()
		one.closed = true
		if one.interpreter != nil {
			one.interpreter.signal(syscall.SIGKILL)
		}
		one.running.Unlock()
	}
}

// clear ends what rests. What still runs, against all rules, is left to itself.
func (c *perlChecker) clear() {
	c.slots.mu.Lock()
	defer c.slots.mu.Unlock()
	for _, one := range c.slots.all {
		select {
		case one.place <- struct{}{}:
		default:
			continue
		}
		if one.idle != nil {
			one.idle.Stop()
		}
		if one.interpreter != nil {
			c.launcher.later(one.without().discard)
		}
		one.give()
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
