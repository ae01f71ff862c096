package store

import (
	"time"

	"github.com/ldirectord/ldirectord/host/state"
)

// Writer saves memories off the way of decisions: Remember never waits for the disk, and
// when the disk is slow only the newest memory is written.
type Writer struct {
	path   string
	failed func(error)
	next   chan state.Memory
	done   chan struct{}
}

// NewWriter returns a Writer to path. failed is told of each write that did not succeed, by the
// writer's goroutine. Close ends it.
func NewWriter(path string, failed func(error)) *Writer {
	w := &Writer{path: path, failed: failed, next: make(chan state.Memory, 1), done: make(chan struct{})}
	go w.work()
	return w
}

// Remember has m saved soon. It is called by one goroutine, and not after Close.
func (w *Writer) Remember(m state.Memory) {
	select {
	case <-w.next: // not yet begun, and out of date
	default:
	}
	w.next <- m
}

// Close waits until the last memory has been written.
func (w *Writer) Close() {
	close(w.next)
	<-w.done
}

func (w *Writer) work() {
	defer close(w.done)
	for m := range w.next {
		if err := Save(w.path, m, time.Now()); err != nil {
			w.failed(err)
		}
	}
}
