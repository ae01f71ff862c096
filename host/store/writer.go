package store

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
)

// rewriteInterval keeps the file of a daemon that runs from growing old; retryInterval has it
// written once the disk has room again.
const (
	rewriteInterval = 24 * time.Hour
	retryInterval   = time.Minute
)

// Writer saves what is to be remembered off the way of decisions: it never makes anybody
// wait for the disk, and when the disk is slow only the newest content is written.
type Writer struct {
	path   string
	failed func(error)
	dirty  chan struct{} // holds one token when content is to be written
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards content
	content Content
}

// NewWriter returns a Writer to path that goes on from c. failed is told of a write that did not
// succeed, by the writer's goroutine, and not again while others fail for the same reason. Close ends it.
func NewWriter(path string, c Content, failed func(error)) *Writer {
	w := &Writer{
		path: path, failed: failed, content: c,
		dirty: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go w.work() // Close waits for it
	return w
}

// Remember has m saved soon.
func (w *Writer) Remember(m state.Memory) { w.change(func(c *Content) { c.Memory = m }) }

// Names has the last known addresses saved soon.
func (w *Writer) Names(names map[string]netip.Addr) {
	names = maps.Clone(names)
	w.change(func(c *Content) { c.Names = names })
}

func (w *Writer) change(do func(*Content)) {
	w.mu.Lock()
	do(&w.content)
	w.mu.Unlock()
	select {
	case w.dirty <- struct{}{}:
	default: // a write is due anyway
	}
}

// Close writes the last content and waits for that, at most until ctx ends. What comes later is
// lost. It is called once.
func (w *Writer) Close(ctx context.Context) {
	close(w.stop)
	select {
	case <-w.done:
	case <-ctx.Done():
	}
}

func (w *Writer) work() {
	defer close(w.done)
	again := time.NewTimer(rewriteInterval)
	defer again.Stop()
	told := ""
	for ended := false; !ended; {
		select {
		case <-w.dirty:
		case <-again.C:
		case <-w.stop:
			ended = true
		}
		why := ""
		again.Reset(rewriteInterval)
		if err := w.save(); err != nil {
			why = err.Error()
			again.Reset(retryInterval)
			if why != told {
				w.failed(err)
			}
		}
		told = why
	}
}

func (w *Writer) save() error {
	w.mu.Lock()
	c := w.content
	w.mu.Unlock()
	return Save(w.path, c, time.Now())
}
